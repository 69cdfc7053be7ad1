/** A filesystem of @zenfs/core without synchronous calls: nobody can wait for a network, or for a disk without blocking the program, in the middle of a call. */
import { FileSystem } from '@zenfs/core'
import { failure } from './failure.ts'

export abstract class AsyncFileSystem extends FileSystem {
  renameSync(): never {
    return refuse()
  }
  statSync(): never {
    return refuse()
  }
  touchSync(): never {
    return refuse()
  }
  createFileSync(): never {
    return refuse()
  }
  unlinkSync(): never {
    return refuse()
  }
  rmdirSync(): never {
    return refuse()
  }
  mkdirSync(): never {
    return refuse()
  }
  readdirSync(): never {
    return refuse()
  }
  linkSync(): never {
    return refuse()
  }
  syncSync(): never {
    return refuse()
  }
  readSync(): never {
    return refuse()
  }
  writeSync(): never {
    return refuse()
  }
}

function refuse(): never {
  throw failure('ENOTSUP', 'this filesystem has no synchronous calls')
}
