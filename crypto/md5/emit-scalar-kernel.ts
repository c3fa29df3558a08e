import type { Local, WasmFunction } from '../../core/wasm/wasm-function.ts';
import { laneEntryBytes, laneTableAt } from './md5-memory.ts';
import { arrangeRegisters, blockBytes, type Md5Step, md5Steps, stateWords } from './md5-steps.ts';

interface Stream {
  readonly pointer: Local;
  readonly state: Local;
  readonly registers: readonly Local[];
  readonly saved: readonly Local[];
}

/**
 * Writes the kernel that hashes blocks of one stream, or of two whose steps take turns, without vectors: for so few it is
 * faster. Its one parameter is how many blocks of each, at least one; the lane table says where they are.
 */
export function emitScalarKernel(body: WasmFunction, streamCount: 1 | 2): void {
  const blocks = body.params[0]!;
  const streams = Array.from({ length: streamCount }, (_, index) => addStream(body, index));
  body.loop((again) => {
    for (const { registers, saved } of streams) registers.forEach((local, at) => void body.get(local).set(saved[at]!));
    for (const [index, step] of md5Steps.entries()) for (const stream of streams) emitStep(body, stream, step, index);
    for (const { registers, saved, pointer } of streams) {
      registers.forEach((local, at) => void body.get(local).get(saved[at]!).op('i32.add').set(local));
      body.get(pointer).i32Const(blockBytes).op('i32.add').set(pointer);
    }
    body.get(blocks).i32Const(1).op('i32.sub').tee(blocks).brIf(again);
  });
  for (const { registers, state } of streams) {
    registers.forEach(
      (local, at) =>
        void body
          .get(state)
          .get(local)
          .memory('i32.store', 4 * at),
    );
  }
}

function addStream(body: WasmFunction, index: number): Stream {
  const addFour = (): Local[] => Array.from({ length: stateWords }, () => body.addLocal('i32'));
  const stream = { pointer: body.addLocal('i32'), state: body.addLocal('i32'), registers: addFour(), saved: addFour() };
  const entryAt = laneTableAt + index * laneEntryBytes;
  body.i32Const(0).memory('i32.load', entryAt).set(stream.pointer);
  body
    .i32Const(0)
    .memory('i32.load', entryAt + 4)
    .set(stream.state);
  stream.registers.forEach(
    (local, at) =>
      void body
        .get(stream.state)
        .memory('i32.load', 4 * at)
        .set(local),
  );
  return stream;
}

function emitStep(
  body: WasmFunction,
  { registers, pointer }: Stream,
  { round, word, rotation, constant }: Md5Step,
  index: number,
): void {
  const [a, b, c, d] = arrangeRegisters(registers, index);
  const not = (local: Local): WasmFunction => body.get(local).i32Const(-1).op('i32.xor');
  body
    .get(a)
    .get(pointer)
    .memory('i32.load', 4 * word)
    .op('i32.add')
    .i32Const(constant)
    .op('i32.add');
  switch (round) {
    case 0: // (b and c) or (not b and d)
      body.get(d).get(c).get(d).op('i32.xor').get(b).op('i32.and').op('i32.xor').op('i32.add');
      break;
    case 1: // (b and d) or (c and not d): no bit is in both, so they can be added, and one half ahead of b
      not(d).get(c).op('i32.and').op('i32.add').get(b).get(d).op('i32.and').op('i32.add');
      break;
    case 2:
      body.get(c).get(d).op('i32.xor').get(b).op('i32.xor').op('i32.add');
      break;
    case 3:
      not(d).get(b).op('i32.or').get(c).op('i32.xor').op('i32.add');
  }
  body.i32Const(rotation).op('i32.rotl').get(b).op('i32.add').set(a);
}
