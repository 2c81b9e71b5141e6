# The one Dockerfile of both images. The programs are static and built outside (see hack/image.sh), so an image is those files on top of
# almost nothing: CA certificates and a user table with the default base, nothing at all with BASE=scratch, which needs no network.
ARG BASE=gcr.io/distroless/static:nonroot
FROM ${BASE}
ARG PROGRAMS=bin/image/modelroute/programs
COPY ${PROGRAMS}/ /
USER 65532:65532
