import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

/**
 * From now on this process draws the same random bytes after each call: stripe ids, and with them the providers that a
 * stripe goes to, are then the same each time that a history is lived through. Only for processes that do nothing else.
 */
export function resetRandomness(): void {
  const stream = crypto.createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16));
  const draw = (length: number): Buffer => stream.update(Buffer.alloc(length));
  crypto.randomBytes = draw as typeof crypto.randomBytes;
  crypto.randomFillSync = (<T extends Uint8Array>(buffer: T, offset = 0): T => {
    buffer.set(draw(buffer.length - offset), offset);
    return buffer;
  }) as typeof crypto.randomFillSync;
  syncBuiltinESMExports();
}
