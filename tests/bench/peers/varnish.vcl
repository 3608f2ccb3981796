# Varnish as a cache. Its own rules would pass every request with a cookie; here, as in the other
# two, only the response says what may be stored.
vcl 4.1;

backend origin {
    .host = "127.0.0.1";
    .port = "@{origin}";
}

sub vcl_recv {
    if (req.url ~ "^/pass/") {
        return (pass);
    }
    return (hash);
}
