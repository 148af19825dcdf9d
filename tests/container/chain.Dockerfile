# A stand-in for the public chain image, for machines that reach no image registry.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY anvil cast /usr/local/bin/
