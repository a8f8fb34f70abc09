# Builds Tokenwire and puts the binary alone into a small image.
#
#   docker build -t tokenwire .
#   docker run --rm -p 127.0.0.1:8080:8080 -v tokenwire:/data tokenwire
#
# /data is all that is written: the SQLite file, unless TOKENWIRE_DATABASE names another database, and the key file. The
# root file system may be read-only.

FROM golang:1.26.8-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o /tokenwire .

FROM alpine:3.22.2
RUN adduser -D -H -u 10001 tokenwire && install -d -m 700 -o 10001 -g 10001 /data
COPY --from=build /tokenwire /usr/local/bin/tokenwire
USER 10001:10001
WORKDIR /data
VOLUME /data
ENV TOKENWIRE_LISTEN=0.0.0.0:8080
EXPOSE 8080
# Also says when the database is away. Whoever restarts containers should ask /healthz, which does not.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["tokenwire"]
