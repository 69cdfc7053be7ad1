/** Numbers of the NFS version 3 protocol (RFC 1813), by their names there. */

export const NFS_PROGRAM = 100003
export const NFS_V3 = 3

export const NFS3_OK = 0
export const NFS3ERR_PERM = 1
export const NFS3ERR_NOENT = 2
export const NFS3ERR_IO = 5
export const NFS3ERR_ACCES = 13
export const NFS3ERR_EXIST = 17
export const NFS3ERR_XDEV = 18
export const NFS3ERR_NOTDIR = 20
export const NFS3ERR_ISDIR = 21
export const NFS3ERR_INVAL = 22
export const NFS3ERR_FBIG = 27
export const NFS3ERR_NOSPC = 28
export const NFS3ERR_ROFS = 30
export const NFS3ERR_MLINK = 31
export const NFS3ERR_NAMETOOLONG = 63
export const NFS3ERR_NOTEMPTY = 66
export const NFS3ERR_STALE = 70
export const NFS3ERR_BADHANDLE = 10001
export const NFS3ERR_NOT_SYNC = 10002
export const NFS3ERR_BAD_COOKIE = 10003
export const NFS3ERR_NOTSUPP = 10004
export const NFS3ERR_TOOSMALL = 10005
export const NFS3ERR_SERVERFAULT = 10006
export const NFS3ERR_BADTYPE = 10007
export const NFS3ERR_JUKEBOX = 10008

export const ACCESS3_READ = 0x01
export const ACCESS3_LOOKUP = 0x02
export const ACCESS3_MODIFY = 0x04
export const ACCESS3_EXTEND = 0x08
export const ACCESS3_DELETE = 0x10
export const ACCESS3_EXECUTE = 0x20

export const UNSTABLE = 0
export const DATA_SYNC = 1
export const FILE_SYNC = 2

export const UNCHECKED = 0
export const GUARDED = 1
export const EXCLUSIVE = 2

export const DONT_CHANGE = 0
export const SET_TO_SERVER_TIME = 1
export const SET_TO_CLIENT_TIME = 2

export const FSF3_LINK = 0x01
export const FSF3_SYMLINK = 0x02
export const FSF3_HOMOGENEOUS = 0x08
export const FSF3_CANSETTIME = 0x10

/** Directory cookie verifier, create verifier and write verifier, bytes. */
export const VERIFIER_BYTES = 8
