import type { Value } from './ledger.ts';

/** Something that was asked of a key and not answered yet; once the server has died it may have happened or not. */
export type OpenChange =
  | { readonly kind: 'put'; readonly value: Value }
  | { readonly kind: 'marker' }
  | { readonly kind: 'remove'; readonly versionId: string };

/** The versions of a key in a versioned bucket: those that were acknowledged, and what is still open. */
export class VersionHistory {
  /** Undefined stands for a delete marker. */
  readonly versions = new Map<string, Value | undefined>();
  readonly open = new Set<OpenChange>();
  /** Versions whose bytes were read after a crash, and were right. */
  readonly found = new Set<string>();

  begin(change: OpenChange): OpenChange {
    this.open.add(change);
    return change;
  }

  /** @param versionId of the version that a put or a marker made */
  acknowledge(change: OpenChange, versionId: string): void {
    this.open.delete(change);
    if (change.kind === 'remove') this.versions.delete(change.versionId);
    else this.versions.set(versionId, change.kind === 'put' ? change.value : undefined);
  }

  /**
   * Takes over what is listed after a crash.
   *
   * @throws Error for a version that is lost, or that nobody wrote
   */
  settle(listed: ReadonlyMap<string, { readonly isMarker: boolean; readonly etag: string | undefined }>): void {
    const mayBeGone = new Set([...this.open].flatMap((change) => (change.kind === 'remove' ? change.versionId : [])));
    for (const versionId of this.versions.keys()) {
      if (!listed.has(versionId) && !mayBeGone.has(versionId)) throw new Error(`version ${versionId} is lost`);
      if (!listed.has(versionId)) this.versions.delete(versionId);
    }
    for (const [versionId, { isMarker, etag }] of listed) {
      if (this.versions.has(versionId)) continue;
      const change = [...this.open].find((each) =>
        isMarker ? each.kind === 'marker' : each.kind === 'put' && each.value.etag === etag,
      );
      if (change === undefined) throw new Error(`nobody wrote version ${versionId}, or it came back`);
      this.acknowledge(change, versionId);
    }
    this.open.clear();
  }
}
