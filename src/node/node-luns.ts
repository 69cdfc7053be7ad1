/**
 * How a real node finds a LUN by its UUID: where its configuration says by now (the file is read again), where it has found it before
 * (`luns.json`, config/added-luns.ts), and where the node that asked for the LUN has found it: that one's way there counts only where this
 * node has none of its own. Otherwise all are tried at once, so that one that hangs hides no other. What the configuration does not name is remembered.
 */
import { type AddedLun, loadConfig, type MatrixdConfig, readAddedLuns, writeAddedLuns } from '../../config/index.ts'
import { isMatrixError } from '../base/errors.ts'
import { type Clock, type Files, type Log, within } from '../platform/index.ts'
import { realPrograms } from '../platform/real/programs.ts'
import { type LabelledLun, type LunFinder, openLun, readLabel } from '../san/index.ts'

/** An own LUN that hangs holds up the look at the hint for so long, ms. */
const OWN_PATIENCE_MS = 2000

type Found = LabelledLun & { readonly url: string }

export class NodeLuns implements LunFinder {
  readonly #config: Pick<MatrixdConfig, 'file' | 'stateDir' | 'luns' | 'timings'>
  readonly #files: Files
  readonly #clock: Clock
  readonly #log: Log
  #added: readonly AddedLun[]

  /** Throws MatrixError 'config' when `luns.json` is damaged. */
  constructor(
    config: Pick<MatrixdConfig, 'file' | 'stateDir' | 'luns' | 'timings'>,
    files: Files,
    clock: Clock,
    log: Log,
  ) {
    this.#config = config
    this.#files = files
    this.#clock = clock
    this.#log = log
    this.#added = readAddedLuns(config.stateDir)
  }

  async find(uuid: string, hint: string | undefined): Promise<LabelledLun | undefined> {
    const configured = this.#configured()
    const remembered = this.#added.filter((added) => added.uuid === uuid).map(({ url }) => url)
    const urls = new Set([...configured, ...remembered])
    const own = firstOf([...urls].map((url) => this.#look(url, uuid)))
    const found = hint === undefined || urls.has(hint) ? await own : await this.#ownOrHint(own, hint, uuid)
    if (found && !configured.includes(found.url) && !remembered.includes(found.url))
      this.#remember([...this.#added.filter((added) => added.uuid !== uuid), { uuid, url: found.url }])
    return found
  }

  async #ownOrHint(own: Promise<Found | undefined>, hint: string, uuid: string): Promise<Found | undefined> {
    const answered = own.catch(() => undefined)
    const found = await within(this.#clock, answered, OWN_PATIENCE_MS)
    return found && found !== 'late' ? found : firstOf([own, this.#look(hint, uuid)])
  }

  forget(uuid: string): void {
    const others = this.#added.filter((added) => added.uuid !== uuid)
    if (others.length < this.#added.length) this.#remember(others)
  }

  #remember(luns: readonly AddedLun[]): void {
    this.#added = luns
    writeAddedLuns(this.#config.stateDir, luns)
  }

  #configured(): readonly string[] {
    const { file, luns } = this.#config
    try {
      return loadConfig(file).luns.map(({ url }) => url)
    } catch (error) {
      this.#log.warn({ error: String(error) }, 'the configuration is not right any more: its LUNs are as at the start')
      return luns.map(({ url }) => url)
    }
  }

  /** Undefined when something else is there, or nothing. Rejects with 'lun-io'. */
  async #look(url: string, uuid: string): Promise<Found | undefined> {
    let lun: Awaited<ReturnType<typeof openLun>> | undefined
    try {
      lun = await openLun(url, this.#files, { timings: this.#config.timings, programs: realPrograms })
      const { label } = await readLabel(lun)
      if (label.lunUuid === uuid) return { url, lun, label }
      await lun.close()
    } catch (error) {
      await lun?.close()
      if (!isMatrixError(error) || error.code === 'lun-io') throw error
      this.#log.debug({ url, error: error.message }, 'no LUN was found here')
    }
    return undefined
  }
}

/** The first that is found; the others are closed when they come. When none is: undefined, or the first error. */
function firstOf<T extends LabelledLun>(looks: readonly Promise<T | undefined>[]): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    let first: T | undefined
    const errors: unknown[] = []
    const each = looks.map((look) =>
      look.then(
        (found) => {
          if (first) void found?.lun.close()
          else if (found) resolve((first = found))
        },
        (error) => void errors.push(error),
      ),
    )
    void Promise.all(each).then(() => (errors.length > 0 ? reject(errors[0]) : resolve(undefined)))
  })
}
