/** CPU time of the calling thread, in milliseconds, exact to some 10 microseconds. */
export function threadCpuMs(): number {
  // Linux brings the thread's figure up to date for a question about the process; by itself it is that of the last tick.
  process.cpuUsage();
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
