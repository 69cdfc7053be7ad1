"""Speaks RPC-with-TLS (RFC 9289) by Python's ssl module and a few lines of XDR: asks for TLS, then NULL, MNT and GETATTR over it.

    tls-client.py PORT CA.pem SERVER-NAME EXPORT        prints a JSON line of what it was told
"""
import json, socket, ssl, struct, sys

port, ca, name, export = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4].encode()
NFS, MOUNT, AUTH_SYS, AUTH_TLS = 100003, 100005, 1, 7
xid = 100


def exactly(stream, count):
    data = b''
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError('the connection was closed')
        data += more
    return data


def call(stream, program, procedure, arguments=b'', flavor=AUTH_SYS):
    """Gives the reply's words from the verifier on."""
    global xid
    xid += 1
    credential = struct.pack('>5I', 0, 0, 0, 0, 0) if flavor == AUTH_SYS else b''
    head = struct.pack('>8I', xid, 0, 2, program, 3, procedure, flavor, len(credential)) + credential + struct.pack('>2I', 0, 0)
    record = head + arguments
    stream.sendall(struct.pack('>I', 0x80000000 | len(record)) + record)
    (mark,) = struct.unpack('>I', exactly(stream, 4))
    reply = exactly(stream, mark & 0x7fffffff)
    assert struct.unpack('>3I', reply[:12]) == (xid, 1, 0), reply[:12].hex()
    return reply[12:]


def opaque(data):
    return struct.pack('>I', len(data)) + data + b'\0' * (-len(data) % 4)


plain = socket.create_connection(('127.0.0.1', port), timeout=20)
starttls = call(plain, NFS, 0, flavor=AUTH_TLS)
assert starttls == struct.pack('>2I', 0, 8) + b'STARTTLS' + struct.pack('>I', 0), starttls.hex()
context = ssl.create_default_context(cafile=ca)
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.set_alpn_protocols(['sunrpc'])
secured = context.wrap_socket(plain, server_hostname=name)
verified = struct.pack('>3I', 0, 0, 0)  # verifier AUTH_NONE, SUCCESS
assert call(secured, NFS, 0) == verified
mounted = call(secured, MOUNT, 1, opaque(export))
status, length = struct.unpack('>2I', mounted[12:20])
handle = mounted[20:20 + length]
attributes = call(secured, NFS, 1, opaque(handle))
assert attributes[:12] == verified
found, kind = struct.unpack('>2I', attributes[12:20])
print(json.dumps({'version': secured.version(), 'alpn': secured.selected_alpn_protocol(), 'mount': status, 'getattr': found, 'type': kind}))
secured.close()
