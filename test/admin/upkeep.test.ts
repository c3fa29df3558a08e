import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { upkeepCommands } from '../../bin/admin-upkeep-commands.ts';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { assertOk } from '../harness/s3-assertions.ts';
import { createSignedFetch } from '../harness/signed-fetch.ts';

interface Upkeep {
  readonly scrub: { readonly shards: { readonly good: number }; readonly oldestUnscrubbedAt?: string };
  readonly drains: readonly {
    readonly provider: string;
    readonly shardsLeft: number;
    readonly oldCopies: number;
    readonly hindrance?: string;
  }[];
  readonly rebalance: { readonly skew: number };
}

describe('the work in the background that operators see', () => {
  let gateway: TestGateway;
  let ask: (method: string, path: string) => Promise<string>;

  before(async () => {
    const limits = { upkeepIntervalMs: 50, freedGraceMs: 0, journalIntervalMs: 50 };
    gateway = await startGateway({ config: { limits } });
    const fetchAdmin = createSignedFetch(gateway.adminUrl, rootKey, 'us-east-1', 'holdfast-admin');
    ask = async (method, path) => {
      const answer = await fetchAdmin(method, `/admin/v1/${path}`);
      assert.equal(answer.status, 200, answer.text);
      return answer.text;
    };
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    for (const key of ['a', 'b', 'c']) {
      assertOk(await gateway.fetchSigned('PUT', `/bucket/${key}`, { body: Buffer.alloc(1_500_000, key) }));
    }
  });
  after(() => gateway.close());

  const readUpkeep = async (): Promise<Upkeep> => JSON.parse(await ask('GET', 'upkeep'));
  const render = (answer: unknown): string => upkeepCommands[0]!.render(answer, '');

  it('shows scrub, and that nothing is drained', async () => {
    const upkeep = await readUpkeep();
    assert.ok(Date.parse(upkeep.scrub.oldestUnscrubbedAt!) <= Date.now());
    assert.deepEqual(upkeep.drains, []);
    const text = render(upkeep);
    assert.match(text, /^scrub: \d+\.\d % of the round that began 20/);
    assert.match(text, /since the start: \d+ good, 0 missing, 0 corrupt, 0 unreadable/);
    assert.match(text, /^rebalance: at rest(: too little is stored to matter)?, skew \d+\.\d %/m);
    assert.match(text, /^drain: none$/m);
  });

  it('shows a drain that has no place', async () => {
    await ask('POST', 'providers/p6/drain');
    await pollUntil('it waits', async () => (await readUpkeep()).drains[0]?.hindrance === 'no-place', 15_000);
    assert.match(render(await readUpkeep()), /^p6 .* waits: no other provider can take its shards$/m);
  });

  it('tells people why nothing is moved', () => {
    const shards = { good: 1, missing: 0, corrupt: 0, unreadable: 0 };
    const scrub = { roundStartedAt: '2026-01-01T00:00:00.000Z', roundPart: 1, behind: [], shards };
    const show = (restCause: string) => {
      const rebalance = { isBalancing: false, restCause, skew: 0.5, stripesAgainstSpread: 0, shardsMoved: 0 };
      return render({ scrub, rebalance, drains: [] });
    };
    assert.match(show('too-little'), /^rebalance: at rest: too little is stored to matter, skew 50\.0 %$/m);
    assert.match(show('off'), /^rebalance: turned off, skew 50\.0 %$/m);
    assert.match(show('even'), /^rebalance: at rest, skew 50\.0 %$/m);
  });

  it('tells people what a drain waits for, and when it may be ended', () => {
    const drain = { provider: 'p9', shardsLeft: 10, bytesLeft: 2 ** 30, shardsMoved: 4, oldCopies: 3 };
    const scrub = { roundStartedAt: '2026-01-01T00:00:00.000Z', roundPart: 0.5, behind: ['p2'] };
    const shards = { good: 1, missing: 2, corrupt: 3, unreadable: 4 };
    const rebalance = { isBalancing: true, skew: 0.123, stripesAgainstSpread: 2, shardsMoved: 5, bytesMoved: 2 ** 20 };
    const show = (change: object) =>
      render({ scrub: { ...scrub, shards }, rebalance, drains: [{ ...drain, ...change }] });
    assert.match(show({ bytesPerS: 2 ** 20, leftS: 1_024 }), /^p9 +10 +1\.0 GiB +1\.0 MiB\/s +about 17 min left$/m);
    assert.match(show({ hindrance: 'provider-down' }), /waits: it is down/);
    assert.match(show({ shardsLeft: 0 }), /empty but for 3 old copies/);
    assert.match(show({ shardsLeft: 0, oldCopies: 0 }), /empty: it can be removed/);
    assert.match(show({}), /still to be read at p2/);
    assert.match(
      show({}),
      /under way, skew 12\.3 %, 2 stripes against the spread rule, 5 shards \(1\.0 MiB\) moved since the start/,
    );
  });
});
