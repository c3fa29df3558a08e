import { channel } from 'node:diagnostics_channel';

/**
 * The moments between which a crash must make no difference: before and after each step that makes something durable,
 * or takes it away. docs/durability.md says what each one leaves behind. Tests subscribe to `durableStepChannel` and kill
 * the process there; nobody else does, and then a mark costs next to nothing.
 */
export const durableSteps = [
  /** Small shards were appended to a segment, and are not flushed. */
  'segment-appended',
  /** The segment was flushed: the shards are durable, and not in the index yet. */
  'segment-flushed',
  /** A new segment file was made and zeroed, and its name is not durable. */
  'segment-created',
  /** Shards of a segment that is being emptied were copied into another one and flushed; the old one is still there. */
  'segment-emptied',
  /** The emptied segment was unlinked. */
  'segment-unlinked',
  /** Entries of the segment index were committed to its database. */
  'index-saved',
  /** A shard's file was flushed under its temporary name. */
  'file-flushed',
  /** It was renamed, and the folder is not flushed. */
  'file-renamed',
  /** The folder was flushed. */
  'file-named',
  /** The root was renamed into place, and the folder is not flushed. */
  'root-renamed',
  /** A pack's shards are durable at their providers; the metadata know nothing of it. */
  'pack-stored',
  /** The last stripe of a large object is durable; the metadata know nothing of it. */
  'stripes-stored',
  /** A metadata transaction is about to be committed. */
  'metadata-committing',
  /** It was committed; nobody was told. */
  'metadata-committed',
  /** Compaction has written live data anew; the metadata still refer to the old place. */
  'compaction-stored',
  /** The metadata refer to the new place. */
  'compaction-moved',
  /** The shards of a freed stripe were deleted; its record is still there. */
  'freed-deleted',
  /** A batch of the journal is durable as a system object; the changes in it still count as not journaled. */
  'journal-stored',
  /** They no longer do; the roots still point to the batch before. */
  'journal-noted',
  /** The roots point to the newest batch. */
  'roots-written',
  /** A snapshot is complete; the one before, with its journal, is still there. */
  'snapshot-stored',
  /** The one before was dropped. */
  'snapshot-dropped',
] as const;

export type DurableStep = (typeof durableSteps)[number];

/** Publishes each `DurableStep` as it is reached. */
export const durableStepChannel = channel('holdfast:durable-step');

/** Says that the process has come to this point. */
export function markDurableStep(step: DurableStep): void {
  if (durableStepChannel.hasSubscribers) durableStepChannel.publish(step);
}
