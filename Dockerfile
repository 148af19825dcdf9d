# One image for every Python service: nodes, orchestrator and the one-shot commands. BASE_IMAGE is
# any Debian image whose `python` is 3.11. Layers go from what changes least (torch) to the code.
ARG BASE_IMAGE=python:3.11-slim

# Wheels in a git-ignored wheels/ are preferred to the index; the folder may be missing.
FROM scratch AS wheels
COPY constraints.txt wheel[s] /

# The dependency list alone, so that other changes in pyproject.toml do not reinstall torch.
FROM ${BASE_IMAGE} AS requirements
COPY pyproject.toml /
RUN python -c "import tomllib; print(*tomllib.load(open('/pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > /requirements.txt

FROM ${BASE_IMAGE} AS dependencies
# Set to 1 where wheels/ holds everything, so that the build needs no network.
ARG PIP_NO_INDEX
# An index with CPU builds of torch; without it, or a wheel, Linux gets gigabytes of CUDA.
ARG TORCH_INDEX
ENV PIP_FIND_LINKS=/wheels PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY constraints.txt /
COPY --from=requirements /requirements.txt /
RUN --mount=type=bind,from=wheels,target=/wheels \
    python -m venv /opt/venv \
    && { test -z "$TORCH_INDEX" || /opt/venv/bin/python -m pip install --quiet \
        --index-url "$TORCH_INDEX" "$(grep ^torch== /requirements.txt)"; } \
    && /opt/venv/bin/python -m pip install --quiet --constraint /constraints.txt --requirement /requirements.txt

FROM dependencies AS package
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY contracts contracts
COPY protocol protocol
COPY node node
COPY orchestrator orchestrator
COPY scripts scripts
RUN --mount=type=bind,from=wheels,target=/wheels \
    /opt/venv/bin/python -m pip install --quiet --no-deps --target /opt/volquorum .

FROM ${BASE_IMAGE}
# Empty volumes take the owner of the folder they are first mounted over.
RUN groupadd --gid 10001 volquorum \
    && useradd --no-create-home --uid 10001 --gid 10001 volquorum \
    && install --directory --owner volquorum --group volquorum /state /shared /blobs /chain
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=package /opt/volquorum /opt/volquorum
COPY docker /opt/docker
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/volquorum HOME=/tmp \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["python", "/opt/docker/start.py"]
