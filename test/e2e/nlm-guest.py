"""Runs in the kernel of an NFS client: does what files of a shared folder say, one after another, and prints what came of each.

$OUT/ID.N (N = 1, 2 ...) is a JSON list: what to do, and with what. Printed is "RESULT N JSON".
The folder is shared by all clients by another way than NFS: whoever holds the lock makes a file there that nobody else may have made.
"""
import errno, fcntl, json, os, random, socket, sqlite3, struct, sys, time

client, path = sys.argv[1], os.environ['MNT'] + '/' + sys.argv[2]
out = os.environ['OUT']
file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def lock(how, start=0, length=0):
    try:
        fcntl.lockf(file, {'try': fcntl.LOCK_EX | fcntl.LOCK_NB, 'wait': fcntl.LOCK_EX}[how], length, start)
    except OSError as error:
        return {'error': errno.errorcode[error.errno]}
    return {}


def unlock():
    fcntl.lockf(file, fcntl.LOCK_UN)
    return {}


def contend(rounds, workers):
    """Processes that count under the lock; how often one found that another held it."""
    pipes = []
    for worker in range(workers):
        read, write = os.pipe()
        if os.fork() == 0:
            twice, own = 0, os.open(path, os.O_RDWR)
            for _ in range(rounds):
                fcntl.lockf(own, fcntl.LOCK_EX)
                try:
                    os.close(os.open(out + '/held', os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                except FileExistsError:
                    twice += 1
                count = int(os.pread(own, 20, 0) or b'0')
                time.sleep(random.random() * 0.004)
                os.pwrite(own, b'%-20d' % (count + 1), 0)
                if not twice:
                    os.unlink(out + '/held')
                fcntl.lockf(own, fcntl.LOCK_UN)
            os.write(write, b'%d\n' % twice)
            os._exit(0)
        os.close(write)
        pipes.append(read)
    twice = sum(int(os.read(each, 20)) for each in pipes)
    for _ in pipes:
        os.wait()
    return {'rounds': rounds * workers, 'twice': twice}


def counted():
    fcntl.lockf(file, fcntl.LOCK_EX)
    count = int(os.pread(file, 20, 0) or b'0')
    fcntl.lockf(file, fcntl.LOCK_UN)
    return {'count': count}


def notify(port, name):
    """As sm-notify does after a restart, by TCP: this host has restarted (X/Open XNFS 11, SM_NOTIFY)."""
    state = int(open('/proc/sys/fs/nfs/nsm_local_state').read()) + 2
    text = name.encode()
    words = struct.pack('>10I', random.getrandbits(31), 0, 2, 100024, 1, 6, 0, 0, 0, 0)
    record = words + struct.pack('>I', len(text)) + text + b'\0' * (-len(text) % 4) + struct.pack('>i', state)
    with socket.create_connection((os.environ['SRV'], port)) as stream:
        stream.sendall(struct.pack('>I', 0x80000000 | len(record)) + record)
        return {'reply': len(stream.recv(1000)), 'state': state}


def sqlite(rounds):
    """Adds rows to a database that others add to as well; in a journal, as on any filesystem with locks."""
    base = sqlite3.connect(path + '.db', timeout=120, isolation_level=None)
    base.execute('CREATE TABLE IF NOT EXISTS t (client TEXT, n INTEGER)')
    for round in range(rounds):
        base.execute('BEGIN IMMEDIATE')
        (last,) = base.execute('SELECT coalesce(max(n), 0) FROM t').fetchone()
        base.execute('INSERT INTO t VALUES (?, ?)', (client, last + 1))
        base.execute('COMMIT')
    return {'rows': rounds}


def checked():
    base = sqlite3.connect(path + '.db', timeout=120)
    rows, last = base.execute('SELECT count(*), max(n) FROM t').fetchone()
    (sound,) = base.execute('PRAGMA integrity_check').fetchone()
    return {'rows': rows, 'last': last, 'sound': sound}


verbs = {'lock': lock, 'unlock': unlock, 'contend': contend, 'counted': counted, 'sqlite': sqlite, 'checked': checked, 'notify': notify}
number = int(sys.argv[3])
print('RESULT %d %s' % (number, json.dumps({'ready': True})), flush=True)
while True:
    number += 1
    order = '%s/%s.%d' % (out, client, number)
    while not os.path.exists(order):
        time.sleep(0.005)
    verb, *args = json.load(open(order))
    if verb == 'end':
        break
    print('RESULT %d %s' % (number, json.dumps(verbs[verb](*args))), flush=True)
