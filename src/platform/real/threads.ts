/** Threads of the process on node:worker_threads. */
import { Worker } from 'node:worker_threads'
import type { Thread, Threads } from '../threads.ts'

export const realThreads: Threads = {
  start(entry, data) {
    const worker = new Worker(entry, { workerData: data })
    // a thread never keeps a process alive that has nothing else to do
    worker.unref()
    let reason = 'ended'
    const thread: Thread = {
      post: (message) => worker.postMessage(message),
      onMessage: () => {},
      onExit: () => {},
      stop: () => void worker.terminate(),
    }
    worker.on('message', (message) => thread.onMessage(message))
    worker.on('error', (error) => {
      reason = error instanceof Error ? error.message : String(error)
    })
    worker.on('exit', (code) => thread.onExit(`${reason} (exit code ${code})`))
    return thread
  },
}
