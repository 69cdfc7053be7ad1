import { group } from '../rules.ts'

export const rename = group('rename', (rule) => {
  rule(20, 'The object has its new name and no longer its old one; it is the same inode', async (t) => {
    await t.create('a')
    const { ino } = await t.lstat('a')
    await t.works(t.rename('a', 'b'))
    await t.has('b', { ino, type: 'file', nlink: 1 })
    await t.gone('a')
  })
  rule(21, 'EISDIR: new is a directory and old is not', async (t) => {
    await t.create('f')
    await t.mkdir('d')
    await t.fails('EISDIR', t.rename('f', 'd'))
    await t.has('f', { type: 'file' })
  })
  rule(22, 'ENOTDIR: old is a directory and new is not', async (t) => {
    await t.create('f')
    await t.mkdir('d')
    await t.fails('ENOTDIR', t.rename('d', 'f'))
  })
})
