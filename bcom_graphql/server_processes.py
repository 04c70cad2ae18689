"""Server processes whose death uvicorn's supervisor notices at once. See docs/adr."""

from uvicorn.supervisors import multiprocess


class ServerProcess(multiprocess.Process):
    """A server process whose pipe closes when it dies.

    uvicorn's supervisor keeps the child's end of the pipe open on its own side. A process killed between a ping and its
    answer then looks slow: the supervisor does not replace it, nor react to SIGTERM, until the health check times out.
    """

    def start(self) -> None:
        """Starts it, and leaves the child alone with its end of the pipe."""
        super().start()
        self.child_conn.close()


def notice_deaths() -> None:
    """Makes uvicorn's supervisor start these; it has no argument for the class."""
    multiprocess.Process = ServerProcess  # type: ignore[misc]
