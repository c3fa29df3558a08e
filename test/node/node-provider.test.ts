import { testProvider } from '../placement/provider-conformance.ts';
import { startTestNode } from './node-harness.ts';

testProvider('node', async () => {
  const node = await startTestNode();
  return { provider: node.connect(), dispose: node.stop };
});
testProvider('node over four connections', async () => {
  const node = await startTestNode();
  return { provider: node.connect({ connections: 4 }), dispose: node.stop };
});
