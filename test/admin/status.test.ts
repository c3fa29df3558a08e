import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { assertOk } from '../harness/s3-assertions.ts';
import { createSignedFetch } from '../harness/signed-fetch.ts';

const run = promisify(execFile);
const program = fileURLToPath(new URL('../../bin/holdfast.ts', import.meta.url));

interface Status {
  readonly margins: readonly { readonly margin: number | string; readonly stripes: number }[];
  readonly versions: number;
  readonly below?: { readonly counts: readonly { readonly margin: number | string; readonly objects: number }[] };
  readonly atRisk: { readonly owners: readonly { readonly key?: string; readonly margin: number | string }[] };
  readonly repair: { readonly stripes: number; readonly oldestSince?: string };
}

describe('the status that operators see', () => {
  let gateway: TestGateway;
  let fetchAdmin: ReturnType<typeof createSignedFetch>;

  before(async () => {
    gateway = await startGateway({ config: { limits: { upkeepIntervalMs: 50 } } });
    fetchAdmin = createSignedFetch(gateway.adminUrl, rootKey, 'us-east-1', 'holdfast-admin');
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    for (const key of ['a', 'b', 'c']) {
      assertOk(await gateway.fetchSigned('PUT', `/bucket/${key}`, { body: Buffer.alloc(1_500_000, key) }));
    }
  });
  after(() => gateway.close());

  async function ask<T>(path: string, status = 200): Promise<T> {
    const answer = await fetchAdmin('GET', path);
    assert.equal(answer.status, status, answer.text);
    return JSON.parse(answer.text) as T;
  }

  async function admin(...words: string[]): Promise<string> {
    const environment = {
      ...process.env,
      HOLDFAST_ROOT_USER: rootKey.accessKeyId,
      HOLDFAST_ROOT_PASSWORD: rootKey.secretAccessKey,
      HOLDFAST_ADMIN_ENDPOINT: gateway.adminUrl,
    };
    const { stdout } = await run(process.execPath, [program, 'admin', ...words], { env: environment });
    return stdout;
  }

  it('says that all is well, to programs and to people', async () => {
    const status = await ask<Status>('/admin/v1/status');
    assert.deepEqual(
      status.margins.map(({ margin }) => margin),
      [2, 1, 0, 'unavailable', 'lost'],
    );
    assert.ok(status.margins[0]!.stripes >= 3);
    assert.ok(status.margins.slice(1).every(({ stripes }) => stripes === 0));
    assert.equal(status.versions, 3);
    assert.deepEqual(status.atRisk.owners, []);
    const text = await admin('status');
    assert.match(text, /^MARGIN +STRIPES +BYTES +OBJECTS BELOW FULL\n2 +\d+ /);
    assert.match(text, /repair: nothing to do\n/);
    assert.match(text, /nothing is at risk\n/);
    assert.deepEqual(JSON.parse(await admin('status', '--json')).versions, 3);
    assert.equal(await admin('at-risk'), 'nothing is at risk\n');
  });

  it('says how likely loss is, by what is measured or given', async () => {
    interface Durability {
      readonly repairHours: number;
      readonly repairTimeFrom: string;
      readonly profiles: readonly { readonly annualLoss: number }[];
      readonly alone: { readonly perStripe: number; readonly worstStripe: number };
      readonly withOperators: { readonly worstStripe: number };
    }
    const path = '/admin/v1/durability';
    const given = await ask<Durability>(`${path}?annualFailureRate=0.05&repairHours=24`);
    assert.equal(given.repairTimeFrom, 'given');
    // As in the table of docs/durability.md.
    assert.equal(given.profiles[0]!.annualLoss.toExponential(1), '2.0e-8');
    assert.equal(given.alone.worstStripe.toExponential(1), '2.0e-8');
    assert.ok(given.alone.perStripe <= given.alone.worstStripe, 'short stripes have fewer shards to lose');
    const worse = await ask<Durability>(
      `${path}?annualFailureRate=0.05&failureRates=p1%3D0.5%2Cp2%3D0.5&repairHours=24`,
    );
    assert.ok(worse.alone.perStripe > given.alone.perStripe);
    const own = await ask<Durability>(path);
    assert.equal(own.repairTimeFrom, 'configured');
    assert.ok(own.repairHours > 0.25 && own.repairHours < 0.3, '15 minutes until it is lost, and little to rebuild');
    await ask(`${path}?annualFailureRate=1.5`, 400);
    await ask(`${path}?failureRates=p1`, 400);
    const text = await admin('durability', '--afr', '0.05', '--repair-hours', '24');
    assert.match(text, /STANDARD +4\+2 +2\.0e-8\n/);
  });

  it('names what can bear no further loss, once two providers are gone for good', async () => {
    for (const id of ['p1', 'p2']) {
      const answer = await fetchAdmin('DELETE', `/admin/v1/providers/${id}?lost=true`);
      assert.equal(answer.status, 200, answer.text);
    }
    let status = await ask<Status>('/admin/v1/status');
    await pollUntil(
      'the objects are counted',
      async () => {
        status = await ask<Status>('/admin/v1/status');
        return status.below?.counts.some(({ margin, objects }) => margin === 0 && objects === 3) ?? false;
      },
      15_000,
    );
    assert.ok(status.margins.find(({ margin }) => margin === 0)!.stripes >= 3);
    const keys = status.atRisk.owners.flatMap(({ key, margin }) => (key !== undefined && margin === 0 ? [key] : []));
    assert.deepEqual(keys.sort(), ['a', 'b', 'c']);
    assert.ok(status.repair.stripes >= 3 && status.repair.oldestSince !== undefined);
    const text = await admin('status');
    assert.match(text, /at risk:\n/);
    assert.match(text, /0: "bucket\/a"/);
    assert.match(text, /repair: \d+ stripes lack \d+ shards/);
    assert.match(await admin('at-risk', '--limit', '1'), /go on with --cursor \d+:[0-9a-f]{32}\n/);
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
    assert.match(metrics, /holdfast_objects_at_margin\{margin="0"\} 3\n/);
    assert.match(metrics, /holdfast_stripes_at_margin\{margin="0"\} [1-9]/);
    assert.match(metrics, /holdfast_repair_queue_stripes [1-9]/);
  });
});
