import { renderTable } from './render-table.ts';
import type { ProfileSummary } from './summarize-profile.ts';

export function renderProfile(name: string, summary: ProfileSummary): string {
  const shares = (list: ProfileSummary['areas']): string[][] =>
    list.map((item) => [item.name, `${(item.share * 100).toFixed(1)} %`]);
  const title = `${name}: ${summary.busySeconds.toFixed(1)} s of the main thread, start-up included`;
  return `${title}\n\n${renderTable(['area', 'self time'], shares(summary.areas))}\n${renderTable(['function', 'self time'], shares(summary.functions))}`;
}
