/** A short conversation over a byte stream: something is said, or nothing where the other begins, and the answer is judged. */
import { MatrixError } from '../../base/errors.ts'
import type { ByteStream } from '../../platform/index.ts'

/** Nothing that is asked here is answered with more, bytes. */
const ANSWER_MAX = 64 * 1024

/** 'more': the answer is not whole yet; undefined: it is right; else what is wrong. */
export type Judge = (answer: Buffer) => 'more' | undefined | string

export type Turn = {
  /** Nothing: the other speaks first. */
  readonly say?: Buffer
  readonly judge: Judge
}

/** Resolves when every answer was right, and ends the stream. Rejects with MatrixError 'protocol' or 'peer-gone', and once `end` says that nobody waits. */
export async function converse(stream: ByteStream, turns: readonly Turn[], end: AbortSignal): Promise<void> {
  const cut = () => stream.reset()
  end.addEventListener('abort', cut)
  try {
    end.throwIfAborted()
    for (const turn of turns) await take(stream, turn)
  } finally {
    end.removeEventListener('abort', cut)
    stream.reset()
  }
}

function take(stream: ByteStream, { say, judge }: Turn): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0)
    stream.onData = (chunk) => {
      answer = Buffer.concat([answer, chunk])
      const found = answer.length > ANSWER_MAX ? 'a longer answer than there can be' : judge(answer)
      if (found === undefined) resolve()
      else if (found !== 'more') reject(new MatrixError('protocol', found))
    }
    stream.onClose = (reason) => reject(new MatrixError('peer-gone', `no answer: ${reason}`))
    if (say) stream.write([say])
  })
}
