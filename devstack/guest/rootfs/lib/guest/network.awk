# SPDX-License-Identifier: Apache-2.0
# What json.awk made of network_data.json in, a plan out, a step a line:
#
#   link MAC MTU             bring the card up (MTU may be "-")
#   address MAC ADDRESS/PREFIX
#   route MAC NETWORK/PREFIX|default GATEWAY
#   dhcp MAC
#   dns ADDRESS
#   unsupported WORDS
#
# Links come first, then addresses, then routes: a gateway is reached by an
# address that is there already.

BEGIN { FS = "\t" }

{
    split($1, at, "/")
    data[$1] = $2
    if (at[2] == "links") links = at[3] + 1
    if (at[2] == "networks") {
        networks = at[3] + 1
        if (at[4] == "routes") routes[at[3]] = at[5] + 1
    }
    if ($1 ~ /^(\/networks\/[0-9]+)?\/services\/[0-9]+\/type$/ && $2 == "dns")
        servers[++dns] = substr($1, 1, length($1) - 4) "address"
}

END {
    for (i = 0; i < links; i++) link("/links/" i)
    for (i = 0; i < networks; i++) network("/networks/" i)
    for (i = 0; i < networks; i++)
        for (j = 0; j < routes[i]; j++)
            route("/networks/" i, "/networks/" i "/routes/" j)
    for (i = 1; i <= dns; i++)
        if (!seen[data[servers[i]]]++) print "dns " data[servers[i]]
}

function link(path,    kind, mtu) {
    kind = data[path "/type"]
    if (kind ~ /^(bond|vlan)$/) {
        print "unsupported a link of type " kind
        return
    }
    mtu = data[path "/mtu"]
    if (mtu !~ /^[0-9]+$/) mtu = "-"
    mac[data[path "/id"]] = tolower(data[path "/ethernet_mac_address"])
    print "link " mac[data[path "/id"]] " " mtu
}

function network(path,    kind, card, address) {
    kind = data[path "/type"]
    card = mac[data[path "/link"]]
    address = data[path "/ip_address"]
    if (card == "") {
        print "unsupported a network on link " data[path "/link"]
    } else if (address ~ /^[0-9a-fA-F.:]+(\/[0-9]+)?$/) {
        if (address !~ /\//)
            address = address "/" prefix(data[path "/netmask"])
        print "address " card " " address
    } else if (kind == "ipv4_dhcp") {
        print "dhcp " card
    } else {
        print "unsupported a network of type " kind
    }
}

function route(parent, path,    card, target, length_) {
    card = mac[data[parent "/link"]]
    if (card == "") return
    target = data[path "/network"]
    length_ = prefix(data[path "/netmask"])
    target = (length_ == 0) ? "default" : target "/" length_
    print "route " card " " target " " data[path "/gateway"]
}

# A netmask of either family, or a plain length, to its length. Each group
# of bits is all ones, or begins with ones; groups left out by :: are zero.
function prefix(mask,    bits, group, count, i) {
    if (mask ~ /^[0-9]+$/) return mask
    if (index(mask, ".")) {
        count = split(mask, group, ".")
        for (i = 1; i <= count; i++) bits += ones(group[i] + 0, 128)
    } else {
        sub(/::.*/, "", mask)
        count = split(mask, group, ":")
        for (i = 1; i <= count; i++) bits += ones(number(group[i]), 32768)
    }
    return bits + 0
}

function ones(value, bit,    found) {
    for (; value >= bit && bit >= 1; bit /= 2) {
        value -= bit
        found++
    }
    return found + 0
}

function number(text,    value, k) {
    for (k = 1; k <= length(text); k++)
        value = value * 16 - 1 + \
            index("0123456789abcdef", tolower(substr(text, k, 1)))
    return value
}
