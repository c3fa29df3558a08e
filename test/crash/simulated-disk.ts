import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from './random.ts';

/**
 * What a program did to files, each noted when the system call had returned; a flush also when it began. Paths are relative
 * to one folder, which is there from the beginning.
 */
export type DiskEvent =
  | {
      readonly kind: 'open';
      readonly path: string;
      readonly fd: number;
      readonly creates: boolean;
      readonly truncates: boolean;
    }
  /** At the file's end where no position is given. */
  | { readonly kind: 'write'; readonly fd: number; readonly bytes: Buffer; readonly position?: number }
  | { readonly kind: 'truncate'; readonly fd: number; readonly length: number }
  | { readonly kind: 'sync-begin'; readonly fd: number; readonly ticket: number }
  | { readonly kind: 'sync-end'; readonly ticket: number }
  | { readonly kind: 'mkdir'; readonly path: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | { readonly kind: 'remove'; readonly path: string };

class FileNode {
  now = Buffer.alloc(0);
  durable = Buffer.alloc(0);
}

class FolderNode {
  readonly now = new Map<string, Node>();
  readonly durable = new Map<string, Node>();
  /** Changes of `now` that are not in `durable` yet, oldest first. */
  pending: { readonly name: string; readonly node: Node | undefined }[] = [];
  dropped = 0;

  change(name: string, node: Node | undefined): void {
    this.pending.push({ name, node });
    apply(this.now, name, node);
  }
}

type Node = FileNode | FolderNode;

/** A tree of files: bytes, or the tree beneath. */
export type Tree = Map<string, Buffer | Tree>;

/**
 * A file system that keeps no more than it promises. Bytes are safe once the file was flushed after they were written, and
 * names once their folder was; of what was not flushed anything may survive a power cut: of a file a longer or shorter
 * piece, or its length with zeros in it, or some sectors and not others; of a folder's changes the first few, each folder
 * by itself.
 */
export class SimulatedDisk {
  readonly #root = new FolderNode();
  readonly #open = new Map<number, Node>();
  readonly #syncs = new Map<number, () => void>();

  apply(event: DiskEvent): void {
    switch (event.kind) {
      case 'open':
        this.#openNode(event);
        return;
      case 'write': {
        const file = this.#open.get(event.fd);
        if (file instanceof FileNode) file.now = overwrite(file.now, event.bytes, event.position ?? file.now.length);
        return;
      }
      case 'truncate': {
        const file = this.#open.get(event.fd);
        if (file instanceof FileNode) file.now = resize(file.now, event.length);
        return;
      }
      case 'sync-begin':
        this.#syncs.set(event.ticket, beginSync(this.#open.get(event.fd)));
        return;
      case 'sync-end':
        this.#syncs.get(event.ticket)?.();
        return;
      case 'mkdir':
        this.#findFolder(event.path.split('/'));
        return;
      case 'rename': {
        const [from, fromName] = this.#locate(event.from);
        const [to, toName] = this.#locate(event.to);
        const node = from.now.get(fromName);
        from.change(fromName, undefined);
        to.change(toName, node);
        return;
      }
      case 'remove': {
        const [folder, name] = this.#locate(event.path);
        if (folder.now.has(name)) folder.change(name, undefined);
      }
    }
  }

  /** What is there for programs that run. */
  current(): Tree {
    return toTree(
      this.#root,
      ({ now }) => now,
      ({ now }) => now,
    );
  }

  /** What is there after a power cut: by chance, or as little as can be. */
  afterPowerCut(random: Random | undefined): Tree {
    const entriesOf = ({ durable, pending }: FolderNode): Map<string, Node> => {
      const entries = new Map(durable);
      const count = random ? random.between(0, pending.length) : 0;
      for (const { name, node } of pending.slice(0, count)) apply(entries, name, node);
      return entries;
    };
    return toTree(this.#root, entriesOf, (file) => (random ? tear(file, random) : file.durable));
  }

  #openNode({ path, fd, creates, truncates }: Extract<DiskEvent, { kind: 'open' }>): void {
    const [folder, name] = this.#locate(path);
    let node = path === '' ? this.#root : folder.now.get(name);
    if (creates && node === undefined) {
      node = new FileNode();
      folder.change(name, node);
    }
    if (truncates && node instanceof FileNode) node.now = Buffer.alloc(0);
    if (node !== undefined) this.#open.set(fd, node);
  }

  #locate(path: string): [folder: FolderNode, name: string] {
    const names = path.split('/');
    return [this.#findFolder(names.slice(0, -1)), names.at(-1)!];
  }

  /** Makes folders that are missing, as mkdir does. */
  #findFolder(names: readonly string[]): FolderNode {
    let folder = this.#root;
    for (const name of names.filter((each) => each !== '')) {
      let next = folder.now.get(name);
      if (!(next instanceof FolderNode)) {
        next = new FolderNode();
        folder.change(name, next);
      }
      folder = next;
    }
    return folder;
  }
}

function apply(entries: Map<string, Node>, name: string, node: Node | undefined): void {
  if (node === undefined) entries.delete(name);
  else entries.set(name, node);
}

/** A flush covers what was done before it began, and counts once it has ended. */
function beginSync(node: Node | undefined): () => void {
  if (node instanceof FileNode) {
    const bytes = node.now;
    return () => {
      node.durable = bytes;
    };
  }
  if (node === undefined) return () => {};
  const end = node.dropped + node.pending.length;
  return () => {
    const covered = node.pending.splice(0, Math.max(0, end - node.dropped));
    node.dropped += covered.length;
    for (const change of covered) apply(node.durable, change.name, change.node);
  };
}

const sectorBytes = 512;

function tear({ now, durable }: FileNode, random: Random): Buffer {
  if (now === durable) return durable;
  const shorter = Math.min(durable.length, now.length);
  const length = random.between(shorter, Math.max(durable.length, now.length));
  const torn = resize(now, length);
  const kind = random.next();
  // What was there before has its old bytes or its new ones; what was not has zeros or its new ones.
  const old = resize(durable, length);
  if (kind < 0.5) {
    for (let start = 0; start < length; start += sectorBytes) {
      if (random.next() < 0.5) torn.set(old.subarray(start, start + sectorBytes), start);
    }
  } else if (kind < 0.75) {
    const from = random.between(0, length);
    torn.set(old.subarray(from), from);
  }
  return torn;
}

/** A copy with other bytes from `position` on. */
function overwrite(file: Buffer, bytes: Buffer, position: number): Buffer<ArrayBuffer> {
  const copy = resize(file, Math.max(file.length, position + bytes.length));
  copy.set(bytes, position);
  return copy;
}

/** A copy that is longer, with zeros, or shorter. */
function resize(file: Buffer, length: number): Buffer<ArrayBuffer> {
  const copy = Buffer.alloc(length);
  copy.set(file.subarray(0, length));
  return copy;
}

function toTree(
  folder: FolderNode,
  entriesOf: (folder: FolderNode) => Map<string, Node>,
  bytesOf: (file: FileNode) => Buffer,
): Tree {
  const tree: Tree = new Map();
  for (const [name, node] of entriesOf(folder)) {
    tree.set(name, node instanceof FileNode ? bytesOf(node) : toTree(node, entriesOf, bytesOf));
  }
  return tree;
}

/** Writes a tree into a folder that is there and empty. */
export async function writeTree(path: string, tree: Tree): Promise<void> {
  for (const [name, node] of tree) {
    const child = join(path, name);
    if (node instanceof Map) {
      await mkdir(child);
      await writeTree(child, node);
    } else {
      await writeFile(child, node);
    }
  }
}
