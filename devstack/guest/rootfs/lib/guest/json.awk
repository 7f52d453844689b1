# SPDX-License-Identifier: Apache-2.0
# One JSON document in, one line a value out: its JSON pointer (RFC 6901), a
# tab, the value. In a value, escapes are those of printf's %b, so that each
# value is one line and `printf %b` restores its bytes. Empty objects and
# lists have no line. A document that is not JSON (RFC 8259): nothing on
# standard output, the reason on standard error, exit status 1.
#
# The document is split at its quotation marks: what is between is a string
# or else structure, and the cost is by token, not by character.
#
# `want` is what may come next: value, first-value (or the end of an empty
# list), key, first-key (or the end of an empty object), colon, more.

{ document = document $0 "\n" }

END {
    if (failed) exit 1
    want = "value"
    depth = 0
    count = split(document, part, "\"")
    for (i = 1; i <= count; i++) {
        if (i % 2 != shift) {
            structure(part[i])
        } else {
            content = part[i]
            while (ends_in_escape(content)) {
                if (++i > count) fail("a string has no end")
                shift = 1 - shift
                content = content "\"" part[i]
            }
            if (i == count) fail("a string has no end")
            string(content)
        }
    }
    if (depth > 0 || want != "more") fail("the document has no end")
    printf "%s", out
}

function fail(reason) {
    print "json: " reason > "/dev/stderr"
    failed = 1
    exit 1
}

function ends_in_escape(text) {
    return match(text, /\\+$/) && RLENGTH % 2
}

function structure(text,    token) {
    while (match(text, /[^ \t\r\n]/)) {
        text = substr(text, RSTART)
        token = substr(text, 1, 1)
        if (index("{}[]:,", token)) {
            mark(token)
        } else {
            match(text, /^[^][{}:, \t\r\n]+/)
            token = substr(text, 1, RLENGTH)
            if (token !~ /^(true|false|null)$/ &&
                token !~ /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$/)
                fail("not a value: " token)
            value(token)
        }
        text = substr(text, length(token) + 1)
    }
}

function mark(token) {
    if (token == "{" || token == "[") {
        if (want != "value" && want != "first-value")
            fail("unexpected " token)
        begin_value()
        if (++depth > 64) fail("too deep")
        kind[depth] = token
        position[depth] = -1
        want = (token == "{") ? "first-key" : "first-value"
    } else if (token == "}" || token == "]") {
        if (depth == 0 || kind[depth] != ((token == "}") ? "{" : "[") ||
            (want != "more" && want !~ /^first-/))
            fail("unexpected " token)
        depth--
        want = "more"
    } else if (token == ":") {
        if (want != "colon") fail("unexpected :")
        want = "value"
    } else {
        if (want != "more" || depth == 0) fail("unexpected ,")
        want = (kind[depth] == "{") ? "key" : "value"
    }
}

function string(content) {
    if (content ~ /[\001-\037]/) fail("a control character in a string")
    content = unescaped(content)
    if (want == "key" || want == "first-key") {
        gsub(/~/, "~0", content)
        gsub(/\//, "~1", content)
        name[depth] = content
        want = "colon"
    } else {
        value(content)
    }
}

function value(content) {
    if (want != "value" && want != "first-value") fail("unexpected value")
    begin_value()
    out = out pointer() "\t" content "\n"
    want = "more"
}

function begin_value() {
    if (depth > 0 && kind[depth] == "[") name[depth] = ++position[depth]
}

function pointer(    path, level) {
    for (level = 1; level <= depth; level++) path = path "/" name[level]
    return path
}

function unescaped(text,    done, at, letter, code, low) {
    while (at = index(text, "\\")) {
        done = done substr(text, 1, at - 1)
        letter = substr(text, at + 1, 1)
        text = substr(text, at + 2)
        if (letter == "\"" || letter == "/") {
            done = done letter
        } else if (letter == "u") {
            code = hexadecimal(text)
            text = substr(text, 5)
            if (code >= 55296 && code < 56320) {
                low = (substr(text, 1, 2) == "\\u") ? \
                    hexadecimal(substr(text, 3)) : 0
                if (low < 56320 || low > 57343) fail("half a character")
                code = 65536 + (code - 55296) * 1024 + low - 56320
                text = substr(text, 7)
            } else if (code >= 56320 && code < 57344) {
                fail("half a character")
            }
            done = done utf8(code)
        } else if (letter != "" && index("\\bfnrt", letter)) {
            done = done "\\" letter
        } else {
            fail("unknown escape \\" letter)
        }
    }
    return done text
}

function hexadecimal(text,    code, k, digit) {
    for (k = 1; k <= 4; k++) {
        digit = index("0123456789abcdef", tolower(substr(text, k, 1)))
        if (digit == 0 || length(text) < k) fail("not four hex digits")
        code = code * 16 + digit - 1
    }
    return code
}

function utf8(code) {
    if (code == 92) return "\\\\"
    if (code < 32 || code == 127) return octal(code)
    if (code < 128) return sprintf("%c", code)
    if (code < 2048)
        return octal(192 + int(code / 64)) octal(128 + code % 64)
    if (code < 65536)
        return octal(224 + int(code / 4096)) \
            octal(128 + int(code / 64) % 64) octal(128 + code % 64)
    return octal(240 + int(code / 262144)) \
        octal(128 + int(code / 4096) % 64) \
        octal(128 + int(code / 64) % 64) octal(128 + code % 64)
}

function octal(byte) {
    return sprintf("\\0%03o", byte)
}
