/** The name by which uvu-filter.ts reaches the real uvu. */
declare module 'uvu-itself' {
  export * from 'uvu'
}
