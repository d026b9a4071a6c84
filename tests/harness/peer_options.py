"""The options of other servers, as `--help` of these versions lists them."""

PEERS = {
    # 0.54.0
    "uvicorn": """
        --access-log --app-dir --backlog --date-header --env-file --factory --fd --forwarded-allow-ips
        --h11-max-incomplete-event-size --header --host --http --http2 --interface --lifespan
        --limit-concurrency --limit-max-requests --limit-max-requests-jitter --log-config --log-level
        --loop --no-access-log --no-date-header --no-proxy-headers --no-server-header --no-use-colors
        --port --proxy-headers --reload --reload-delay --reload-dir --reload-exclude --reload-include
        --reset-contextvars --root-path --server-header --ssl-ca-certs --ssl-cert-reqs --ssl-certfile
        --ssl-ciphers --ssl-keyfile --ssl-keyfile-password --ssl-version --timeout-graceful-shutdown
        --timeout-keep-alive --timeout-worker-healthcheck --uds --use-colors --workers --ws
        --ws-max-queue --ws-max-size --ws-per-message-deflate --ws-ping-interval --ws-ping-timeout
        """.split(),
    # 2.8.9
    "granian": """
        --access-log --access-log-fmt --backlog --backpressure --blocking-threads
        --blocking-threads-idle-timeout --env-files --factory --host --http --http1-buffer-size
        --http1-header-read-timeout --http1-keep-alive --http1-pipeline-flush --http2-adaptive-window
        --http2-initial-connection-window-size --http2-initial-stream-window-size
        --http2-keep-alive-interval --http2-keep-alive-timeout --http2-max-concurrent-streams
        --http2-max-frame-size --http2-max-headers-size --http2-max-send-buffer-size --interface --log
        --log-config --log-level --loop --metrics --metrics-address --metrics-port
        --metrics-scrape-interval --no-access-log --no-factory --no-http1-keep-alive
        --no-http1-pipeline-flush --no-http2-adaptive-window --no-log --no-metrics --no-reload
        --no-reload-ignore-worker-failure --no-respawn-failed-workers --no-ssl-client-verify --no-ws
        --pid-file --port --process-name --reload --reload-ignore-dirs --reload-ignore-paths
        --reload-ignore-patterns --reload-ignore-worker-failure --reload-paths --reload-tick
        --respawn-failed-workers --respawn-interval --rss-sample-interval --rss-samples
        --runtime-blocking-threads --runtime-mode --runtime-threads --ssl-ca --ssl-certificate
        --ssl-client-verify --ssl-crl --ssl-keyfile --ssl-keyfile-password --ssl-protocol-min
        --static-path-dir-to-file --static-path-expires --static-path-mount --static-path-route --task-impl
        --uds --uds-permissions --url-path-prefix --workers --workers-kill-timeout
        --workers-lifetime --workers-max-rss --working-dir --ws
        """.split(),
    # 0.18.0
    "hypercorn": """
        --access-log --access-logfile --access-logformat --backlog --bind --ca-certs --cert-reqs --certfile
        --ciphers --config --daemon --debug --error-log --error-logfile --graceful-timeout --group
        --insecure-bind --keep-alive --keyfile --keyfile-password --log-config --log-file --log-level
        --max-requests --max-requests-jitter --pid --quic-bind --read-timeout --reload --root-path
        --server-name --statsd-host --statsd-prefix --umask --user --verify-mode --websocket-ping-interval
        --worker-class --workers
        """.split(),
    # 27.0.1
    "gunicorn": """
        --access-logfile --access-logformat --asgi-disconnect-grace-period --asgi-lifespan --asgi-loop
        --backlog --bind --ca-certs --capture-output --casefold-http-method --cert-reqs --certfile --chdir
        --check-config --ciphers --config --control-socket --control-socket-mode --daemon --dirty-app
        --dirty-graceful-timeout --dirty-threads --dirty-timeout --dirty-workers
        --disable-redirect-access-to-syslog --do-handshake-on-connect --dogstatsd-tags
        --enable-backlog-metric --enable-stdio-inheritance --env --error-logfile --forwarded-allow-ips
        --forwarder-headers --graceful-timeout --group --header-map --http-parser --http-protocols
        --http2-cleartext --http2-initial-window-size --http2-max-concurrent-streams --http2-max-frame-size
        --http2-max-header-list-size --initgroups --keep-alive --keyfile --limit-request-field_size
        --limit-request-fields --limit-request-line --log-config --log-config-json --log-file --log-level
        --log-syslog --log-syslog-facility --log-syslog-prefix --log-syslog-to --logger-class
        --max-requests --max-requests-jitter --name --no-control-socket --no-sendfile --paste
        --paste-global --paster --permit-obsolete-folding --permit-unconventional-http-method
        --permit-unconventional-http-version --pid --preload --print-config --protocol --proxy-allow-from
        --proxy-protocol --pythonpath --reload --reload-engine --reload-extra-file --reuse-port --root-path
        --spew --ssl-version --statsd-host --statsd-prefix --strip-header-spaces --suppress-ragged-eofs
        --threads --timeout --umask --user --uwsgi-allow-from --websocket-max-message-size
        --worker-class --worker-connections --worker-tmp-dir --workers
        """.split(),
    # 4.2.3
    "daphne": """
        --access-log --application-close-timeout --bind --endpoint --fd --http-timeout --log-fmt
        --no-server-name --ping-interval --ping-timeout --port --proxy-headers --proxy-headers-host
        --proxy-headers-port --root-path --server-name --unix-socket --verbosity --websocket-max-frame-size
        --websocket-max-message-size --websocket_connect_timeout --websocket_timeout
        """.split(),
}
