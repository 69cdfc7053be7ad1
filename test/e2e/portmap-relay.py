"""Brings what is sent to port 111 of 127.0.0.1, TCP and UDP, to the port mapper at another port of it, and the answers back.

    portmap-relay.py PORT
"""
import socket, sys, threading

here, there = ('127.0.0.1', 111), ('127.0.0.1', int(sys.argv[1]))


def pump(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


def connections(listener):
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(there)
        for ends in ((near, far), (far, near)):
            threading.Thread(target=pump, args=ends, daemon=True).start()


def datagrams(near):
    while True:
        call, client = near.recvfrom(65536)
        with socket.socket(type=socket.SOCK_DGRAM) as far:
            far.settimeout(5)
            far.sendto(call, there)
            near.sendto(far.recv(65536), client)


listener = socket.create_server(here)
near = socket.socket(type=socket.SOCK_DGRAM)
near.bind(here)
threading.Thread(target=connections, args=(listener,), daemon=True).start()
datagrams(near)
