"""The system-call agent: makes one system call per line of JSON on standard input and answers with one line.

Request  {"id": 7, "call": "rename", "args": ["a", "b"], "dir": 0, "uid": 0, "gid": 0, "groups": [], "umask": 0}
Answer   {"id": 7, "value": null}  or  {"id": 7, "errno": "ENOENT"}  or, when the request itself is wrong, {"id": 7, "bug": "..."}

Text is bytes as Latin-1. Paths are relative to the case directory number `dir` that `enter` has opened; an agent stands in it
(fchdir) for the call, so that a path has exactly the length that was asked for. Integers beyond 2^53 travel as decimal text.
Descriptors stay open here until they are closed or `leave`. Standard library only.
"""
import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import stat
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EACCESS = 0x200
AT_SYMLINK_FOLLOW = 0x400
UTIME = {"now": (1 << 30) - 1, "omit": (1 << 30) - 2}
SAFE = 1 << 53


class Timespec(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]


def c_call(function, *args):
    """Calls libc and raises OSError as os.* does."""
    result = function(*args)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


libc.lseek.restype = ctypes.c_long
libc.lseek.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int]
libc.pwrite.restype = ctypes.c_ssize_t
libc.pwrite.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long]
libc.pread.restype = ctypes.c_ssize_t
libc.pread.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long]
libc.getdents64.restype = ctypes.c_ssize_t
libc.getdents64.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
libc.truncate.argtypes = [ctypes.c_char_p, ctypes.c_long]
libc.ftruncate.argtypes = [ctypes.c_int, ctypes.c_long]
libc.mknod.argtypes = [ctypes.c_char_p, ctypes.c_uint, ctypes.c_ulong]
libc.chown.argtypes = [ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint]
libc.lchown.argtypes = [ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint]
libc.fchown.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint]


class Identity:
    """Who the agent is at the moment. Changes only when asked for somebody else, since most calls are root's."""

    def __init__(self):
        self.now = (0, 0, ())
        self.umask = os.umask(0)
        self.umask = 0
        os.setgroups([])

    def become(self, uid, gid, groups):
        wanted = (uid, gid, tuple(groups))
        if wanted == self.now:
            return
        if self.now[0] != 0:
            os.setresuid(0, 0, 0)
        os.setgroups(groups)
        # The saved ids stay root's: they are the way back, and no filesystem looks at them.
        os.setresgid(gid, gid, 0)
        os.setresuid(uid, uid, 0)
        self.now = wanted

    def use_umask(self, umask):
        if umask != self.umask:
            os.umask(umask)
            self.umask = umask


identity = Identity()
case_dirs = []
standing = None
fds = {}
children = {}
listings = {}


def text(raw):
    return raw.decode("latin-1")


def raw(value):
    return value.encode("latin-1")


def number(value):
    return value if -SAFE < value < SAFE else str(value)


def fd_of(handle):
    if handle == -1:
        return -1
    return fds[handle]


def attributes(st):
    return {
        "dev": number(st.st_dev), "ino": number(st.st_ino), "type": kind(st.st_mode), "mode": st.st_mode & 0o7777,
        "nlink": st.st_nlink, "uid": st.st_uid, "gid": st.st_gid, "size": number(st.st_size), "blocks": number(st.st_blocks),
        "blksize": st.st_blksize, "rdev": [os.major(st.st_rdev), os.minor(st.st_rdev)],
        "atime": divmod(st.st_atime_ns, 10**9), "mtime": divmod(st.st_mtime_ns, 10**9), "ctime": divmod(st.st_ctime_ns, 10**9),
    }


KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block", stat.S_IFCHR: "char",
}
D_TYPES = {8: "file", 4: "dir", 10: "symlink", 1: "fifo", 12: "socket", 6: "block", 2: "char", 0: "unknown"}
FORMATS = {kind: fmt for fmt, kind in KINDS.items()}


def kind(mode):
    return KINDS.get(stat.S_IFMT(mode), "?")


def flags_of(names):
    flags = 0
    for name in names.split("|"):
        flags |= getattr(os, "O_" + name)
    return flags


def timespecs(times):
    if times is None:
        return None
    both = (Timespec * 2)()
    for i, time in enumerate(times):
        if isinstance(time, str):
            both[i].s, both[i].ns = 0, UTIME[time]
        else:
            both[i].s, both[i].ns = int(time[0]), int(time[1])
    return both


def unsigned(value):
    return value & 0xFFFFFFFF


# Calls. Each takes the request's arguments; what it returns is the answer's value.


def enter(paths):
    global standing
    leave()
    do_limit_size(-1)
    for path in paths:
        case_dirs.append(os.open(raw(path), os.O_PATH | os.O_DIRECTORY))


def leave():
    """Forgets whatever the last case has left."""
    global standing
    for fd in list(fds.values()):
        os.close(fd)
    fds.clear()
    for child in children.values():
        child.kill()
        child.wait()
    children.clear()
    os.chdir("/")
    standing = None
    for fd in case_dirs:
        os.close(fd)
    case_dirs.clear()


next_handle = 1


def keep(fd):
    global next_handle
    handle = next_handle
    next_handle += 1
    fds[handle] = fd
    return handle


def do_open(path, flags, mode):
    return keep(os.open(raw(path), flags_of(flags), mode))


def do_close(handle):
    os.close(fds.pop(handle))


def do_pread(handle, length, offset):
    buffer = ctypes.create_string_buffer(max(length, 1))
    got = c_call(libc.pread, fd_of(handle), buffer, length, int(offset))
    return text(buffer.raw[:got])


def do_pwrite(handle, data, offset):
    data = raw(data)
    return c_call(libc.pwrite, fd_of(handle), data, len(data), int(offset))


def do_create(path, mode):
    os.close(os.open(raw(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))


def do_write_file(path, data):
    """open, write, close of an existing file or a new one."""
    fd = os.open(raw(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        view = memoryview(raw(data))
        while len(view) > 0:
            view = view[os.write(fd, view):]
    finally:
        os.close(fd)


def do_read_file(path):
    fd = os.open(raw(path), os.O_RDONLY)
    try:
        parts = []
        while True:
            part = os.read(fd, 1 << 20)
            if not part:
                return text(b"".join(parts))
            parts.append(part)
    finally:
        os.close(fd)


def do_getdents(handle, size):
    """One getdents64: [name, type, inode, position after it] each."""
    buffer = ctypes.create_string_buffer(size)
    got = c_call(libc.getdents64, fd_of(handle), buffer, size)
    entries, at, data = [], 0, buffer.raw
    while at < got:
        ino = int.from_bytes(data[at:at + 8], sys.byteorder)
        position = int.from_bytes(data[at + 8:at + 16], sys.byteorder, signed=True)
        length = int.from_bytes(data[at + 16:at + 18], sys.byteorder)
        name = data[at + 19:at + length].split(b"\0", 1)[0]
        entries.append([text(name), D_TYPES.get(data[at + 18], "?"), number(ino), str(position)])
        at += length
    return entries


def do_list(path):
    """All names of a directory, sorted; without the dots."""
    return sorted(text(name) for name in os.listdir(raw(path)))


def do_statvfs(path):
    return statvfs_fields(os.statvfs(raw(path)))


def do_fstatvfs(handle):
    return statvfs_fields(os.statvfs(fd_of(handle)))


def statvfs_fields(st):
    return {key: number(getattr(st, "f_" + key)) for key in (
        "bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "flag", "namemax")}


def do_start(path):
    """Runs a program of the case directory; its handle."""
    global next_handle
    # Exec failures come back as OSError with the program's errno.
    child = subprocess.Popen([raw(path), b"60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    handle = next_handle
    next_handle += 1
    children[handle] = child
    return handle


def do_end(handle):
    child = children.pop(handle)
    child.kill()
    child.wait()


def do_listings(path, rounds):
    """The names of a directory, several times over."""
    return [do_list(path) for _ in range(rounds)]


def do_append(handle, tag, length, count):
    """`count` writes of `length` bytes each, on a descriptor that is open for appending."""
    record = raw((tag + "." * length)[:length - 1] + "\n")
    fd = fd_of(handle)
    for _ in range(count):
        if os.write(fd, record) != length:
            raise OSError(errno.EIO, "short write")


def do_churn(prefix, count, rounds):
    """Makes and removes files, `rounds` times; none stays, and no name comes twice."""
    for round in range(rounds):
        names = [raw("%s%d-%d" % (prefix, round, i)) for i in range(count)]
        for name in names:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        for name in names:
            os.unlink(name)


def do_tally(attempts):
    """The outcomes of many calls of one kind: {"ok": 1, "EEXIST": 9}."""
    tally = {}
    for call, args in attempts:
        try:
            CALLS[call](*args)
            outcome = "ok"
        except OSError as error:
            outcome = errno.errorcode.get(error.errno, str(error.errno))
        tally[outcome] = tally.get(outcome, 0) + 1
    return tally


def do_make_many(prefix, first, count):
    for i in range(first, first + count):
        os.close(os.open(raw("%s%d" % (prefix, i)), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def do_map_read(handle, length, offset):
    with mmap.mmap(fd_of(handle), length, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset) as area:
        return text(area[:])


def do_map_write(handle, length, at, data):
    with mmap.mmap(fd_of(handle), length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as area:
        area[at:at + len(data)] = raw(data)
        area.flush()


def do_limit_size(size):
    """RLIMIT_FSIZE of this agent; -1 lifts it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def remove_tree(name, parent):
    """rm -rf, told apart from os' own helpers by not following anything and by mending modes first."""
    try:
        os.unlink(name, dir_fd=parent)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        pass
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        while True:
            names = os.listdir(fd)
            if not names:
                break
            for inner in names:
                remove_tree(inner, fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)


def do_remove_tree(path):
    remove_tree(raw(path), None)


def do_make_root(path, mode):
    os.mkdir(raw(path), mode)
    os.chmod(raw(path), mode)


CALLS = {
    "enter": enter,
    "leave": leave,
    "makeRoot": do_make_root,
    "removeTree": do_remove_tree,
    "open": do_open,
    "close": do_close,
    "read": lambda handle, length: text(os.read(fd_of(handle), length)),
    "write": lambda handle, data: os.write(fd_of(handle), raw(data)),
    "pread": do_pread,
    "pwrite": do_pwrite,
    "readv": lambda handle, lengths: readv(handle, lengths),
    "writev": lambda handle, parts: os.writev(fd_of(handle), [raw(part) for part in parts]),
    "lseek": lambda handle, offset, whence: number(c_call(
        libc.lseek, fd_of(handle), int(offset), whence if isinstance(whence, int) else getattr(os, "SEEK_" + whence))),
    "ftruncate": lambda handle, size: c_call(libc.ftruncate, fd_of(handle), int(size)) and None,
    "truncate": lambda path, size: c_call(libc.truncate, raw(path), int(size)) and None,
    "fsync": lambda handle: os.fsync(fd_of(handle)),
    "fdatasync": lambda handle: os.fdatasync(fd_of(handle)),
    "fstat": lambda handle: attributes(os.fstat(fd_of(handle))),
    "fchmod": lambda handle, mode: os.fchmod(fd_of(handle), mode),
    "fchown": lambda handle, uid, gid: c_call(libc.fchown, fd_of(handle), unsigned(uid), unsigned(gid)) and None,
    "futimens": lambda handle, times: c_call(libc.futimens, fd_of(handle), timespecs(times)) and None,
    "fchdir": lambda handle: os.fchdir(fd_of(handle)),
    "dup": lambda handle: keep(os.dup(fd_of(handle))),
    "getdents": do_getdents,
    "fallocate": lambda handle, offset, length: os.posix_fallocate(fd_of(handle), int(offset), int(length)),
    "stat": lambda path: attributes(os.stat(raw(path))),
    "lstat": lambda path: attributes(os.lstat(raw(path))),
    "link": lambda old, new: c_call(libc.linkat, AT_FDCWD, raw(old), AT_FDCWD, raw(new), 0) and None,
    "linkFollowing": lambda old, new: c_call(
        libc.linkat, AT_FDCWD, raw(old), AT_FDCWD, raw(new), AT_SYMLINK_FOLLOW) and None,
    "unlink": lambda path: os.unlink(raw(path)),
    "symlink": lambda target, path: os.symlink(raw(target), raw(path)),
    "readlink": lambda path: text(os.readlink(raw(path))),
    "mkdir": lambda path, mode: os.mkdir(raw(path), mode),
    "rmdir": lambda path: os.rmdir(raw(path)),
    "rename": lambda old, new: os.rename(raw(old), raw(new)),
    "mknod": lambda path, type, mode, device: c_call(
        libc.mknod, raw(path), FORMATS[type] | mode, os.makedev(*device)) and None,
    "chmod": lambda path, mode: os.chmod(raw(path), mode),
    "chown": lambda path, uid, gid: c_call(libc.chown, raw(path), unsigned(uid), unsigned(gid)) and None,
    "lchown": lambda path, uid, gid: c_call(libc.lchown, raw(path), unsigned(uid), unsigned(gid)) and None,
    "utimens": lambda path, times: c_call(libc.utimensat, AT_FDCWD, raw(path), timespecs(times), 0) and None,
    "lutimens": lambda path, times: c_call(
        libc.utimensat, AT_FDCWD, raw(path), timespecs(times), AT_SYMLINK_NOFOLLOW) and None,
    "access": lambda path, mode: c_call(libc.access, raw(path), mode) and None,
    "eaccess": lambda path, mode: c_call(libc.faccessat, AT_FDCWD, raw(path), mode, AT_EACCESS) and None,
    "chdir": lambda path: os.chdir(raw(path)),
    "pathconf": lambda path, name: os.pathconf(raw(path), "PC_" + name),
    "statvfs": do_statvfs,
    "fstatvfs": do_fstatvfs,
    "create": do_create,
    "openAt": lambda handle, path, flags, mode: keep(os.open(raw(path), flags_of(flags), mode, dir_fd=fd_of(handle))),
    "mkdirAt": lambda handle, path, mode: os.mkdir(raw(path), mode, dir_fd=fd_of(handle)),
    "writeFile": do_write_file,
    "readFile": do_read_file,
    "list": do_list,
    "listings": do_listings,
    "start": do_start,
    "end": do_end,
    "append": do_append,
    "churn": do_churn,
    "tally": do_tally,
    "makeMany": do_make_many,
    "limitSize": do_limit_size,
    "mapRead": do_map_read,
    "mapWrite": do_map_write,
    "now": lambda: divmod(clock_ns(), 10**9),
}


def readv(handle, lengths):
    buffers = [bytearray(length) for length in lengths]
    got = os.readv(fd_of(handle), buffers)
    return text(b"".join(buffers)[:got])


def clock_ns():
    import time
    return time.time_ns()


def serve(request):
    global standing
    directory = request.get("dir", -1)
    if directory != standing:
        identity.become(0, 0, ())
        if directory >= 0:
            os.fchdir(case_dirs[directory])
        standing = directory
    identity.become(request.get("uid", 0), request.get("gid", 0), request.get("groups", ()))
    identity.use_umask(request.get("umask", 0))
    name = request["call"]
    if name in ("chdir", "fchdir"):
        # The next request stands in its own directory again.
        standing = None
    elif name in ("enter", "leave"):
        identity.become(0, 0, ())
    return CALLS[name](*request.get("args", ()))


def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not hasattr(os, "O_PATH"):
        os.O_PATH = 0o10000000
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answer = {"id": request["id"]}
        try:
            answer["value"] = serve(request)
        except OSError as error:
            answer["errno"] = errno.errorcode.get(error.errno, str(error.errno))
        except Exception as error:
            answer["bug"] = "%s: %s" % (type(error).__name__, error)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    identity.become(0, 0, ())
    leave()


main()
