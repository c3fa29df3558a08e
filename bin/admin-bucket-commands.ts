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

const etags: AdminCommand = {
  words: ['bucket', 'etags'],
  usage: 'bucket etags NAME [--set md5|opaque | --clear]',
  summary: 'show or change whether ETags of what is written to a bucket are MD5s; --clear: as the server is configured',
  positional: 'NAME',
  options: { set: 'text', clear: 'flag' },
  async prepare({ options: { set, clear }, positional }) {
    const target = `/admin/v1/buckets/${encodeURIComponent(positional)}/etags`;
    if (set !== undefined && clear !== undefined) throw new ConfigError(['--clear: must not be given with --set']);
    if (set === undefined && clear === undefined) return { method: 'GET', target };
    return { method: 'PUT', target, body: { etags: set ?? null } };
  },
  render(answer) {
    const { bucket, etags: kind } = answer as { bucket: string; etags: string | null };
    return `${bucket}: ${kind ?? 'as the server is configured'}\n`;
  },
};

/** What operators say of buckets. */
export const bucketCommands: readonly AdminCommand[] = [profile, etags];
