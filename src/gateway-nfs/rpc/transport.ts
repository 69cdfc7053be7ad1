/** By what a call came. */
export type Transport = 'tcp' | 'udp'
