/**
 * What lies where in the memory of MD5's kernels. The streams' own bytes and states follow behind, wherever the caller likes.
 *
 * | offset | bytes | what |
 * |---|---|---|
 * | 0 | 1024 | the constants of the 64 steps, each four times, for vectors |
 * | 1024 | 64 | the lane table: for each lane where its next block lies, and where its state |
 * | 2048 | 512 | the words of the blocks at hand, those of four lanes side by side |
 */
export const constantsAt = 0;
export const laneTableAt = 1024;
export const wordsAt = 2048;
/** From here on memory belongs to the caller. */
export const kernelMemoryBytes = 4096;

/** An entry of the lane table: two addresses, of the data and of the state. */
export const laneEntryBytes = 8;
/** A state: a, b, c and d. */
export const stateBytes = 16;
