"""In the guest of a kernel client: writes, reads back, renames and syncs on a mount until it is told to end; what was answered has to be there.

    kernel-worker.py MOUNT OUT      OUT/begun when it works, OUT/end tells it to end, OUT/report.json is what it saw
"""
import json, os, sys, time

mount, out = sys.argv[1:3]
home = os.path.join(mount, 'kernel')
os.makedirs(home, exist_ok=True)
names = [os.path.join(home, name) for name in ('a', 'b')]
operations, worst, errors, stalls, repeated = 0, 0.0, [], [], 0
# an answer that took so long was asked for again, perhaps of another node that knows nothing of the first time
AGAIN = 1.0
began = time.monotonic()


def step(number):
    here, there = names[number % 2], names[(number + 1) % 2]
    with open(here, 'w') as file:
        file.write(str(number))
        file.flush()
        os.fsync(file.fileno())
    once(os.rename, here, there)
    # opened anew: the client asks the server whether what it has is current
    with open(there) as file:
        found = file.read()
    if found != str(number):
        errors.append('read %r after %d was answered' % (found, number))
    once(os.unlink, there)


def once(change, *names):
    global repeated
    at = time.monotonic()
    try:
        change(*names)
    except FileNotFoundError:
        if time.monotonic() - at < AGAIN:
            raise
        repeated += 1


number = 0
while not os.path.exists(os.path.join(out, 'end')):
    number += 1
    at = time.monotonic()
    try:
        step(number)
    except OSError as error:
        errors.append('step %d: %s' % (number, error))
    took = time.monotonic() - at
    operations += 5
    worst = max(worst, took)
    if took > 1:
        stalls.append([round((at - began) * 1000), round(took * 1000)])
    if number == 1:
        open(os.path.join(out, 'begun'), 'w').close()
with open(os.path.join(out, 'report.json'), 'w') as file:
    json.dump({'operations': operations, 'worstMs': round(worst * 1000), 'errors': errors, 'stalls': stalls, 'repeated': repeated}, file)
