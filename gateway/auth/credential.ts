import { type CredentialScope, scopeService, scopeTerminal } from './signing-key.ts';

/** `AKID/yyyyMMdd/region/s3/aws4_request`, taken apart. */
export interface Credential extends CredentialScope {
  readonly accessKeyId: string;
  /** As the string to sign has it. */
  readonly scope: string;
}

/** What is wrong with a credential, worded as AWS words it after the words that name where it stood. */
export interface CredentialProblem {
  readonly problem: string;
  readonly extra?: Readonly<Record<string, string>>;
}

/** Checks everything about a credential but whether the key exists. */
export function parseCredential(
  text: string,
  expectedRegion: string,
  expectedService: string = scopeService,
): Credential | CredentialProblem {
  const parts = text.split('/');
  const [accessKeyId = '', date = '', region = '', service, terminal] = parts;
  if (parts.length !== 5 || accessKeyId === '') {
    return { problem: 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".' };
  }
  if (terminal !== scopeTerminal) {
    return { problem: `incorrect terminal "${terminal}". This endpoint uses "${scopeTerminal}".` };
  }
  if (service !== expectedService) {
    return { problem: `incorrect service "${service}". This endpoint belongs to "${expectedService}".` };
  }
  if (!/^\d{8}$/.test(date)) {
    return {
      problem: `incorrect date format "${date}". This date in the credential must be in the format "yyyyMMdd".`,
    };
  }
  if (region !== expectedRegion) {
    return {
      problem: `the region '${region}' is wrong; expecting '${expectedRegion}'`,
      extra: { Region: expectedRegion },
    };
  }
  return { accessKeyId, date, region, service, scope: `${date}/${region}/${service}/${scopeTerminal}` };
}
