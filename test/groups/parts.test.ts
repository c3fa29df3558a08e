import { importGroup } from './groups.ts';

await importGroup('parts');
