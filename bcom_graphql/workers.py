"""Server processes whose death is noticed at once."""

from uvicorn.supervisors import multiprocess


class Worker(multiprocess.Process):
    """One whose pipe ends when it dies.

    uvicorn's supervisor keeps the child's end of the pipe open on its own side. A worker killed between a ping and its
    answer then looks like a slow one, and nobody replaces it, nor hears a SIGTERM, until the health check's whole
    timeout is over.
    """

    def start(self) -> None:
        """Start it; from then on the child alone holds its end."""
        super().start()
        self.child_conn.close()


def notice_deaths() -> None:
    """Have uvicorn's supervisor start these; it takes no class of process as an argument."""
    multiprocess.Process = Worker  # type: ignore[misc]
