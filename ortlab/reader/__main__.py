"""The reader process: as a worker, with tasks of its own."""

from ortlab.worker.__main__ import main

TASKS = {
    "read": "ortlab.reader.tasks:read",
    "digest": "ortlab.reader.tasks:digest",
}

if __name__ == "__main__":
    main(TASKS)
