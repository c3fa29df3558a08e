import { resolve } from 'node:path';
import { type Config, listProfiles } from '../core/config.ts';
import type { LoadedMasterKey } from './load-master-key.ts';
import type { RootAccount } from './root-account.ts';

/** What a start prints: lines to paste, and where the data lie. A configured secret is not repeated. */
export function renderBanner(facts: {
  config: Config;
  root: RootAccount;
  key: LoadedMasterKey;
  endpoint: string;
  adminEndpoint: string;
}): string {
  const { config, root, key: masterKey, endpoint, adminEndpoint } = facts;
  const [key] = root.account.accessKeys;
  const secret = root.source === 'configured' ? '$HOLDFAST_ROOT_PASSWORD' : key?.secretAccessKey;
  const profiles = listProfiles(config).map(({ name, k, m }) => `${name} = RS ${k}+${m}`);
  const origin = {
    configured: 'root key: from the environment or the configuration file',
    generated: `root key: generated now, kept in ${resolve(root.keyPath)} (mode 0600)`,
    kept: `root key: kept in ${resolve(root.keyPath)}`,
  }[root.source];
  const keyOrigin = {
    configured: 'master key: from the environment or the configuration file',
    file: `master key: from ${masterKey.path}`,
    generated: `master key: GENERATED NOW, kept in ${masterKey.path} (mode 0600)

  *********************************************************************************************
  *  BACK UP THIS FILE, away from this machine. Everything that is stored is encrypted with it. *
  *  Without it nothing can be read again, not by you and not by anybody else.                   *
  *********************************************************************************************
`,
    kept: `master key: kept in ${masterKey.path} (back it up: without it nothing can be read again)`,
  }[masterKey.source];
  return `
Holdfast serves S3 on ${endpoint}  (metrics: ${adminEndpoint}/metrics)
data: ${resolve(config.dataDir)}, profile ${profiles.join(', ')}
${origin}
${keyOrigin}

  export AWS_ENDPOINT_URL=${endpoint}
  export AWS_REGION=${config.region} AWS_DEFAULT_REGION=${config.region}
  export AWS_ACCESS_KEY_ID=${key?.accessKeyId}
  export AWS_SECRET_ACCESS_KEY=${secret}

Try it:

  aws s3 mb s3://first && aws s3 cp README.md s3://first/ && aws s3 cp s3://first/README.md -

`;
}
