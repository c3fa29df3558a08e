import type { Local, WasmFunction } from '../../core/wasm/wasm-function.ts';
import { constantsAt, laneEntryBytes, laneTableAt, wordsAt } from './md5-memory.ts';
import { arrangeRegisters, blockBytes, type Md5Step, md5Steps, stateWords } from './md5-steps.ts';

/** How many streams share a vector. */
export const groupLanes = 4;
const vectorBytes = 16;
const wordsPerBlock = 16;
const groupWordsBytes = wordsPerBlock * vectorBytes;

/** Shuffles that lay the low or high halves of two vectors side by side: of 32-bit lanes one by one, and of 64-bit ones. */
const zipLow = [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23];
const zipHigh = [8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31];
const joinLow = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
const joinHigh = [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31];
/** Swaps the halves of each 32-bit lane: a rotation by 16 in one shuffle, where others take two shifts and an or. */
const swapHalves = [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13];

/** Four streams of the kernel. */
interface Group {
  /** Where the next block of each stream is. */
  readonly pointers: readonly Local[];
  /** Where their states are. */
  readonly states: readonly Local[];
  /** a, b, c and d of all four. */
  readonly registers: readonly Local[];
  /** The same before the block at hand. */
  readonly saved: readonly Local[];
  readonly sum: Local;
  readonly wordsAt: number;
}

/**
 * Writes the kernel that hashes blocks of `groups` times four streams in the lanes of vectors. Its one parameter is how many
 * blocks of each, at least one; the lane table says where they are. The groups' steps take turns: each step waits for the one
 * before it in its own group only, and the processor has the others' to do meanwhile.
 */
export function emitVectorKernel(body: WasmFunction, groups: number): void {
  const blocks = body.params[0]!;
  const all = Array.from({ length: groups }, (_, index) => addGroup(body, index));
  const four = Array.from({ length: 4 }, () => body.addLocal('v128'));
  const halves = Array.from({ length: 4 }, () => body.addLocal('v128'));
  const transpose = (store: (column: number, put: () => void) => void): void =>
    emitTranspose(body, four, halves, store);
  for (const group of all) emitLoadStates(body, group, four, transpose);
  body.loop((again) => {
    for (const group of all) emitGather(body, group, four, transpose);
    for (const { registers, saved } of all) registers.forEach((local, at) => void body.get(local).set(saved[at]!));
    for (const [index, step] of md5Steps.entries()) for (const group of all) emitStep(body, group, step, index);
    for (const { registers, saved } of all) {
      registers.forEach((local, at) => void body.get(local).get(saved[at]!).op('i32x4.add').set(local));
    }
    for (const { pointers } of all) {
      for (const pointer of pointers) body.get(pointer).i32Const(blockBytes).op('i32.add').set(pointer);
    }
    body.get(blocks).i32Const(1).op('i32.sub').tee(blocks).brIf(again);
  });
  for (const { registers, states } of all) {
    registers.forEach((local, at) => void body.get(local).set(four[at]!));
    transpose((lane, put) => {
      body.get(states[lane]!);
      put();
      body.memory('v128.store');
    });
  }
}

function addGroup(body: WasmFunction, index: number): Group {
  const addFour = (type: 'i32' | 'v128'): Local[] => Array.from({ length: 4 }, () => body.addLocal(type));
  const group = {
    pointers: addFour('i32'),
    states: addFour('i32'),
    registers: addFour('v128'),
    saved: addFour('v128'),
    sum: body.addLocal('v128'),
    wordsAt: wordsAt + index * groupWordsBytes,
  };
  for (let lane = 0; lane < groupLanes; lane++) {
    const entryAt = laneTableAt + (index * groupLanes + lane) * laneEntryBytes;
    body.i32Const(0).memory('i32.load', entryAt).set(group.pointers[lane]!);
    body
      .i32Const(0)
      .memory('i32.load', entryAt + 4)
      .set(group.states[lane]!);
  }
  return group;
}

type Transpose = (store: (column: number, put: () => void) => void) => void;

/** `rows`, in four locals, as columns: `store` is called for each, and `put` leaves the column on the stack. */
function emitTranspose(
  body: WasmFunction,
  [r0, r1, r2, r3]: readonly Local[],
  [low01, high01, low23, high23]: readonly Local[],
  store: (column: number, put: () => void) => void,
): void {
  body.get(r0!).get(r1!).shuffle(zipLow).set(low01!);
  body.get(r0!).get(r1!).shuffle(zipHigh).set(high01!);
  body.get(r2!).get(r3!).shuffle(zipLow).set(low23!);
  body.get(r2!).get(r3!).shuffle(zipHigh).set(high23!);
  store(0, () => body.get(low01!).get(low23!).shuffle(joinLow));
  store(1, () => body.get(low01!).get(low23!).shuffle(joinHigh));
  store(2, () => body.get(high01!).get(high23!).shuffle(joinLow));
  store(3, () => body.get(high01!).get(high23!).shuffle(joinHigh));
}

function emitLoadStates(body: WasmFunction, group: Group, four: readonly Local[], transpose: Transpose): void {
  group.states.forEach((state, lane) => void body.get(state).memory('v128.load').set(four[lane]!));
  transpose((register, put) => {
    put();
    body.set(group.registers[register]!);
  });
}

/** The words of four blocks, turned so that a vector holds the same word of each; to memory, since all rounds need them. */
function emitGather(body: WasmFunction, group: Group, four: readonly Local[], transpose: Transpose): void {
  for (let first = 0; first < wordsPerBlock; first += stateWords) {
    group.pointers.forEach(
      (pointer, lane) =>
        void body
          .get(pointer)
          .memory('v128.load', first * 4)
          .set(four[lane]!),
    );
    transpose((column, put) => {
      body.i32Const(0);
      put();
      body.memory('v128.store', group.wordsAt + (first + column) * vectorBytes);
    });
  }
}

function emitStep(body: WasmFunction, group: Group, { round, word, rotation }: Md5Step, index: number): void {
  const [a, b, c, d] = arrangeRegisters(group.registers, index);
  // What does not depend on b, the newest, comes first.
  body
    .get(a)
    .i32Const(0)
    .memory('v128.load', group.wordsAt + word * vectorBytes)
    .op('i32x4.add');
  body
    .i32Const(0)
    .memory('v128.load', constantsAt + index * vectorBytes)
    .op('i32x4.add');
  switch (round) {
    case 0: // (b and c) or (not b and d)
      body.get(d).get(c).get(d).op('v128.xor').get(b).op('v128.and').op('v128.xor').op('i32x4.add');
      break;
    case 1: // (b and d) or (c and not d): no bit is in both, so they can be added, and one half ahead of b
      body.get(c).get(d).op('v128.andnot').op('i32x4.add').get(b).get(d).op('v128.and').op('i32x4.add');
      break;
    case 2:
      body.get(c).get(d).op('v128.xor').get(b).op('v128.xor').op('i32x4.add');
      break;
    case 3: // c xor (b or not d), which is not (c xor (d and not b)): to add `not x` is to subtract x + 1, and the 1 is in the constant
      body.get(c).get(d).get(b).op('v128.andnot').op('v128.xor').op('i32x4.sub');
  }
  body.set(group.sum);
  if (rotation === 16) body.get(group.sum).get(group.sum).shuffle(swapHalves);
  else {
    body.get(group.sum).i32Const(rotation).op('i32x4.shl');
    body
      .get(group.sum)
      .i32Const(32 - rotation)
      .op('i32x4.shr_u')
      .op('v128.or');
  }
  body.get(b).op('i32x4.add').set(a);
}

/** What a step's constant is in the vector kernel. */
export function vectorConstant({ round, constant }: Md5Step): number {
  return round === 3 ? (constant - 1) >>> 0 : constant;
}
