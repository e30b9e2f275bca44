"""What of the Docker engine a pipeline's task may use: few calls, on its own containers, with a checked body.

`calls` says which calls there are, `container_body` what a container may be, `gate` puts them before the engine.
"""
