/** RPC by UDP for tests: calls with the xid and the address that the test wants, each answered or not. */
import { createSocket, type Socket } from 'node:dgram'
import type { Xdr } from '../../src/gateway-nfs/xdr/types.ts'
import { decodeWhole, encodeCall, encodeWith, type NfsUser, parseReply, type RpcReply } from './nfs-client.ts'

export type DatagramCall = {
  readonly program: number
  readonly version: number
  readonly procedure: number
  readonly args?: Buffer
  readonly xid?: number
}

export class RpcDatagrams {
  readonly #socket: Socket
  readonly #port: number
  readonly #host: string
  #xid = Math.floor(Math.random() * 2 ** 31)
  readonly #waiting = new Map<number, (reply: RpcReply) => void>()
  user: NfsUser | undefined = { uid: 0, gid: 0 }
  /** Records received. */
  received = 0

  private constructor(socket: Socket, host: string, port: number) {
    this.#socket = socket
    this.#host = host
    this.#port = port
    socket.on('message', (record) => {
      this.received++
      this.#waiting.get(record.readUInt32BE(0))?.(parseReply(record))
    })
  }

  static async open(port: number, options: { host?: string; localAddress?: string } = {}): Promise<RpcDatagrams> {
    const socket = createSocket('udp4')
    await new Promise<void>((resolve) => socket.bind(0, options.localAddress ?? '127.0.0.1', resolve))
    return new RpcDatagrams(socket, options.host ?? '127.0.0.1', port)
  }

  get localPort(): number {
    return this.#socket.address().port
  }

  close(): void {
    this.#socket.close()
  }

  send(datagram: Buffer): void {
    this.#socket.send(datagram, this.#port, this.#host)
  }

  /** Undefined when nothing came within `limitMs`. */
  call({ xid = this.#nextXid(), ...call }: DatagramCall, limitMs = 5000): Promise<RpcReply | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#settle(xid, undefined, resolve), limitMs)
      this.#waiting.set(xid, (reply) => {
        clearTimeout(timer)
        this.#settle(xid, reply, resolve)
      })
      this.send(encodeCall({ xid, user: this.user, ...call }))
    })
  }

  /** A call of a table's procedure, and its result. */
  async ask<A, R>(
    program: number,
    version: number,
    procedure: { readonly number: number; readonly args: Xdr<A>; readonly result: Xdr<R> },
    args: A,
    xid?: number,
  ): Promise<R> {
    const call = { program, version, procedure: procedure.number, args: encodeWith(procedure.args, args) }
    const reply = await this.call(xid === undefined ? call : { ...call, xid })
    if (!reply) throw new Error(`procedure ${procedure.number} of program ${program} was not answered`)
    return decodeWhole(`procedure ${procedure.number}`, reply, procedure.result)
  }

  #nextXid(): number {
    return (this.#xid = (this.#xid + 1) >>> 0)
  }

  #settle(xid: number, reply: RpcReply | undefined, resolve: (reply: RpcReply | undefined) => void): void {
    this.#waiting.delete(xid)
    resolve(reply)
  }
}
