/** The sum of a metric over all its label values, as the admin port gives it now; NaN where there is none of this name. */
export async function readMetric(adminUrl: string, name: string, labels = ''): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  let sum = Number.NaN;
  for (const line of text.split('\n')) {
    const [, found, given = '', value] = /^(\w+)(?:\{([^}]*)\})? (\S+)$/.exec(line) ?? [];
    if (found !== name || !given.includes(labels)) continue;
    sum = (Number.isNaN(sum) ? 0 : sum) + Number(value);
  }
  return sum;
}
