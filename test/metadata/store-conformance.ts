import { describe } from 'node:test';
import { testBuckets } from './bucket-conformance.ts';
import { testFleet } from './fleet-conformance.ts';
import { testListings } from './listing-conformance.ts';
import { testLookingAgain } from './look-again-conformance.ts';
import type { MakeStore } from './metadata-fixtures.ts';
import { testAgainstModel } from './model-conformance.ts';
import { testMoves } from './move-conformance.ts';
import { testRecords } from './record-conformance.ts';
import { testRecovery } from './recovery-conformance.ts';
import { testStripes } from './stripe-conformance.ts';
import { testUploads } from './upload-conformance.ts';
import { testVersions } from './version-conformance.ts';

/**
 * What every `MetadataStore` must do. `make` gives a new and empty store each time; `modelRuns` is how many random
 * walks are compared with the model.
 */
export function testMetadataStore(name: string, make: MakeStore, { modelRuns }: { modelRuns: number }): void {
  describe(`metadata store: ${name}`, () => {
    testBuckets(make);
    testVersions(make);
    testLookingAgain(make);
    testListings(make);
    testUploads(make);
    testStripes(make);
    testFleet(make);
    testMoves(make);
    testRecords(make);
    testAgainstModel(make, modelRuns);
    testRecovery(make, modelRuns);
  });
}
