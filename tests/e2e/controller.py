"""The decisions of the issue-agents story's controller, with no client of Redis but these lines.

Answers each line `FIRST LAST` of its input with two texts of 0 and 1, one character a number: whether
Python works on it, and whether TypeScript does.
"""

import socket
import sys
from enum import Enum


class SystemMode(Enum):
    TYPESCRIPT_ONLY = "typescript_only"
    PYTHON_ONLY = "python_only"
    PARALLEL_COMPARISON = "parallel"
    GRADUAL_ROLLOUT = "gradual"
    EMERGENCY_ROLLBACK = "emergency_rollback"


class Redis:
    def __init__(self, host, port):
        self.stream = socket.create_connection((host, port), timeout=20).makefile("rwb")

    def get(self, key):
        name = key.encode()
        self.stream.write(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(name), name))
        self.stream.flush()
        head = self.stream.readline()
        if head[:1] != b"$":
            raise RuntimeError(head)
        length = int(head[1:])
        return None if length < 0 else self.stream.read(length + 2)[:-2]


class MigrationController:
    def __init__(self, redis):
        self.redis = redis

    def mode(self):
        mode = self.redis.get("system_mode")
        return SystemMode(mode.decode()) if mode else SystemMode.TYPESCRIPT_ONLY

    def percentage(self):
        percentage = self.redis.get("rollout_percentage")
        return int(percentage.decode()) if percentage else 0

    def places_on_python(self, issue_number):
        return issue_number % 100 < self.percentage()

    def should_use_python_system(self, issue_number):
        mode = self.mode()
        if mode is SystemMode.GRADUAL_ROLLOUT:
            return self.places_on_python(issue_number)
        return mode in (SystemMode.PYTHON_ONLY, SystemMode.PARALLEL_COMPARISON)

    def should_use_typescript_system(self, issue_number):
        mode = self.mode()
        if mode is SystemMode.GRADUAL_ROLLOUT:
            return not self.places_on_python(issue_number)
        return mode is not SystemMode.PYTHON_ONLY


controller = MigrationController(Redis(sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    first, last = map(int, line.split())
    for asks in (controller.should_use_python_system, controller.should_use_typescript_system):
        print("".join("01"[asks(number)] for number in range(first, last + 1)))
    sys.stdout.flush()
