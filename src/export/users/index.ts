/** Users of gateways that have no credentials of the filesystem's own kind: names, passwords and tokens, and what uid, gid and groups they stand for. */
export { keepPassword, PASSWORD_MAX_BYTES, PASSWORD_MIN } from './passwords.ts'
export {
  isOwnToken,
  newToken,
  readUserFile,
  type TokenRecord,
  type UserFile,
  type UserRecord,
  writeUserFile,
} from './user-file.ts'
export { type User, Users } from './users.ts'
