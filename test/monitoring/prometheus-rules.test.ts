import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Metrics } from '../../core/metrics.ts';
import { needs } from '../harness/run-client.ts';

const folder = join(import.meta.dirname, '../../monitoring');
const rulesFile = 'prometheus-rules.yml';
const testsFile = 'prometheus-rules.test.yml';

const readText = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');

/** Fails with what it printed. */
async function runPromtool(...args: string[]): Promise<string> {
  try {
    return (await promisify(execFile)('promtool', args, { cwd: folder })).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`promtool ${args.join(' ')}: ${stdout}${stderr}`);
  }
}

describe('rules for Prometheus', () => {
  it('name metrics and labels that there are', async () => {
    const described = await new Metrics({ processMetrics: true }).readText();
    const rules = await readText(rulesFile);
    const used = [...rules.matchAll(/\b(holdfast_\w+)(?:\{(\w+)=)?/g)];
    assert.ok(used.length > 5);
    const source = await readFile(join(import.meta.dirname, '../../core/metrics.ts'), 'utf8');
    for (const [, name, label] of used) {
      const isKnown = described.includes(`# TYPE ${name!.replace(/_(bucket|sum|count)$/, '')} `);
      assert.ok(isKnown || described.includes(`# TYPE ${name} `), `there is no metric ${name}`);
      if (label === undefined) continue;
      const declaration = source.slice(source.indexOf(`'${name}'`)).slice(0, 400);
      assert.match(declaration, new RegExp(`labelNames: \\[[^\\]]*'${label}'`), `${name} has no label ${label}`);
    }
  });

  it('have a case each in the tests of rules', async () => {
    const cases = await readText(testsFile);
    const alerts = [...(await readText(rulesFile)).matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
    for (const name of alerts) {
      assert.match(cases, new RegExp(`alertname: ${name}\\n\\s+exp_alerts:\\n`), `${name} never fires in a test`);
      assert.match(cases, new RegExp(`alertname: ${name}, exp_alerts: \\[\\]`), `${name} fires in all tests`);
    }
  });

  it('are what Prometheus understands, and fire when they should', needs('promtool'), async () => {
    assert.match(await runPromtool('check', 'rules', rulesFile), /SUCCESS/);
    assert.match(await runPromtool('test', 'rules', testsFile), /SUCCESS/);
  });
});
