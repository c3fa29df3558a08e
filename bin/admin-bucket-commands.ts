import { ConfigError } from '../core/config.ts';
import type { AdminCommand } from './admin-commands.ts';

const profile: AdminCommand = {
  words: ['bucket', 'profile'],
  usage: 'bucket profile NAME [--set PROFILE | --clear]',
  summary: 'show or change the profile of what is written to a bucket without a storage class; --clear: STANDARD again',
  positional: 'NAME',
  options: { set: 'text', clear: 'flag' },
  async prepare({ options: { set, clear }, positional }) {
    const target = `/admin/v1/buckets/${encodeURIComponent(positional)}/profile`;
    if (set !== undefined && clear !== undefined) throw new ConfigError(['--clear: must not be given with --set']);
    if (set === undefined && clear === undefined) return { method: 'GET', target };
    return { method: 'PUT', target, body: { profile: set ?? null } };
  },
  render(answer) {
    const { bucket, profile: name } = answer as { bucket: string; profile: string | null };
    return `${bucket}: ${name ?? 'STANDARD, since it has no profile of its own'}\n`;
  },
};

/** What operators say of buckets. */
export const bucketCommands: readonly AdminCommand[] = [profile];
