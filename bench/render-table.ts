import type { Spread } from './statistics.ts';

export function renderSpread(value: Spread | undefined): string {
  return value === undefined
    ? ''
    : `${renderNumber(value.median)} (${renderNumber(value.min)} to ${renderNumber(value.max)})`;
}

/** Three significant digits: no run repeats to more. */
export function renderNumber(value: number | undefined): string {
  if (value === undefined) return '';
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

/** A column of a table: what stands above it, and what of each row stands in it. */
export type Column<Row> = readonly [head: string, cell: (row: Row) => string];

export function renderRows<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  return renderTable(
    columns.map(([head]) => head),
    rows.map((row) => columns.map(([, cell]) => cell(row))),
  );
}

export function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}
