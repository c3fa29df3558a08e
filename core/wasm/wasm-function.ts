import { encodeSigned, encodeUnsigned } from './leb128.ts';
import {
  type LaneInstruction,
  laneOpcodes,
  type MemoryInstruction,
  type MemoryLaneInstruction,
  memoryLaneOpcodes,
  memoryOpcodes,
  type PlainInstruction,
  plainOpcodes,
} from './opcodes.ts';

/** Bytes that stand for the types of values, and for the lack of one. */
export const valueTypes = { i32: 0x7f, i64: 0x7e, v128: 0x7b } as const;
export type ValueType = keyof typeof valueTypes;
const noType = 0x40;

/** A parameter or a local variable of one function. */
export interface Local {
  readonly index: number;
  readonly type: ValueType;
}

/** A block, loop or condition that is open: a target of branches. */
export interface Label {
  readonly depth: number;
}

/**
 * The body of one function, written instruction by instruction in the order of the stack machine: operands first. Each
 * method appends one instruction and returns the function, so that a line of calls reads like a line of the text format.
 *
 * Nothing checks the types on the stack here: compiling the module does.
 */
export class WasmFunction {
  /** Where it stands among the functions of its module, for `call`. */
  readonly index: number;
  readonly params: readonly Local[];
  readonly results: readonly ValueType[];
  readonly #locals: ValueType[] = [];
  readonly #code: number[] = [];
  #depth = 0;

  constructor({
    index,
    params,
    results,
  }: { index: number; params: readonly ValueType[]; results: readonly ValueType[] }) {
    this.index = index;
    this.params = params.map((type, at) => ({ index: at, type }));
    this.results = results;
  }

  /** A new local variable, zero at first. */
  addLocal(type: ValueType): Local {
    this.#locals.push(type);
    return { index: this.params.length + this.#locals.length - 1, type };
  }

  get(local: Local): this {
    return this.#put(0x20, ...encodeUnsigned(local.index));
  }

  set(local: Local): this {
    return this.#put(0x21, ...encodeUnsigned(local.index));
  }

  tee(local: Local): this {
    return this.#put(0x22, ...encodeUnsigned(local.index));
  }

  /** Any instruction without immediate operands: `op('i32x4.add')`. */
  op(instruction: PlainInstruction): this {
    return this.#put(...encodeOpcode(plainOpcodes[instruction]));
  }

  /** @param value 32 bits, with a sign or without */
  i32Const(value: number): this {
    if (!Number.isInteger(value) || value < -0x80000000 || value > 0xffffffff) throw new RangeError(`no i32: ${value}`);
    return this.#put(0x41, ...encodeSigned(BigInt(value | 0)));
  }

  i64Const(value: bigint): this {
    return this.#put(0x42, ...encodeSigned(BigInt.asIntN(64, value)));
  }

  /** @param bytes the 16 bytes, lowest first. In loops a load is better: V8 builds the constant anew each time. */
  v128Const(bytes: Iterable<number>): this {
    return this.#put(...encodeOpcode(0xfd0c), ...sixteen(bytes, 0xff));
  }

  /** A load or store at the address on the stack plus `offset`. Alignment is a hint only: all addresses work. */
  memory(instruction: MemoryInstruction, offset = 0): this {
    const [opcode, align] = memoryOpcodes[instruction];
    return this.#put(...encodeOpcode(opcode), align, ...encodeUnsigned(offset));
  }

  /** A load or store of one lane of a vector, such as `v128.load32_lane`: address, then vector, are on the stack. */
  memoryLane(instruction: MemoryLaneInstruction, lane: number, offset = 0): this {
    const [opcode, align] = memoryLaneOpcodes[instruction];
    return this.#put(...encodeOpcode(opcode), align, ...encodeUnsigned(offset), checkLane(lane, 16 >> align));
  }

  lane(instruction: LaneInstruction, lane: number): this {
    const [opcode, count] = laneOpcodes[instruction];
    return this.#put(...encodeOpcode(opcode), checkLane(lane, count));
  }

  /** `i8x16.shuffle`. @param lanes for each of 16 bytes which it is: 0 to 15 of the first operand, 16 to 31 of the second */
  shuffle(lanes: Iterable<number>): this {
    return this.#put(...encodeOpcode(0xfd0d), ...sixteen(lanes, 31));
  }

  /** `memory.copy`: target, source and length are on the stack. */
  memoryCopy(): this {
    return this.#put(0xfc, 10, 0, 0);
  }

  /** `memory.fill`: target, byte and length are on the stack. */
  memoryFill(): this {
    return this.#put(0xfc, 11, 0);
  }

  /** A branch to its label leaves it. */
  block(body: (label: Label) => void, result?: ValueType): this {
    return this.#nest(0x02, body, result);
  }

  /** A branch to its label starts it again. */
  loop(body: (label: Label) => void, result?: ValueType): this {
    return this.#nest(0x03, body, result);
  }

  /** Runs `then` where the i32 on the stack is not 0, `otherwise` where it is. */
  if(then: (label: Label) => void, otherwise?: (label: Label) => void, result?: ValueType): this {
    const body = (label: Label): void => {
      then(label);
      if (otherwise === undefined) return;
      this.#put(0x05);
      otherwise(label);
    };
    return this.#nest(0x04, body, result);
  }

  br(label: Label): this {
    return this.#put(0x0c, ...this.#distance(label));
  }

  /** Branches where the i32 on the stack is not 0. */
  brIf(label: Label): this {
    return this.#put(0x0d, ...this.#distance(label));
  }

  /** Branches to the label whose number is on the stack, to `otherwise` past the last. */
  brTable(labels: readonly Label[], otherwise: Label): this {
    const targets = [...labels, otherwise].flatMap((label) => this.#distance(label));
    return this.#put(0x0e, ...encodeUnsigned(labels.length), ...targets);
  }

  call(callee: Pick<WasmFunction, 'index'>): this {
    return this.#put(0x10, ...encodeUnsigned(callee.index));
  }

  /** The function as it stands in the code section, its length first. */
  encode(): number[] {
    if (this.#depth !== 0) throw new Error('a block is still open');
    const groups: { type: ValueType; count: number }[] = [];
    for (const type of this.#locals) {
      const last = groups.at(-1);
      if (last?.type === type) last.count++;
      else groups.push({ type, count: 1 });
    }
    const locals = groups.flatMap(({ type, count }) => [...encodeUnsigned(count), valueTypes[type]]);
    // Joined, and never spread: a cold loop over each byte would take most of the time.
    const body = encodeUnsigned(groups.length).concat(locals, this.#code, 0x0b);
    return encodeUnsigned(body.length).concat(body);
  }

  #nest(opcode: number, body: (label: Label) => void, result: ValueType | undefined): this {
    this.#put(opcode, result === undefined ? noType : valueTypes[result]);
    this.#depth++;
    body({ depth: this.#depth });
    this.#depth--;
    return this.#put(0x0b);
  }

  /** Branches count outwards from where they stand: 0 is the innermost block. */
  #distance(label: Label): number[] {
    return encodeUnsigned(this.#depth - label.depth);
  }

  #put(...bytes: number[]): this {
    for (const byte of bytes) this.#code.push(byte);
    return this;
  }
}

function encodeOpcode(opcode: number): number[] {
  if (opcode > 0xffff) return [opcode >> 16, ...encodeUnsigned(opcode & 0xffff)];
  return opcode > 0xff ? [opcode >> 8, ...encodeUnsigned(opcode & 0xff)] : [opcode];
}

function checkLane(lane: number, count: number): number {
  if (!Number.isInteger(lane) || lane < 0 || lane >= count) throw new RangeError(`no lane ${lane} of ${count}`);
  return lane;
}

function sixteen(values: Iterable<number>, max: number): number[] {
  const bytes = [...values];
  if (bytes.length !== 16 || bytes.some((value) => !Number.isInteger(value) || value < 0 || value > max)) {
    throw new RangeError(`16 values of 0 to ${max} are needed: ${bytes}`);
  }
  return bytes;
}
