# SPDX-License-Identifier: Apache-2.0
"""A guest of 512 bytes that cannot finish where virtualisation is broken.

It waits for a timer interrupt in real mode, enters 64-bit mode with paging,
runs 2^26 rounds of a loop there (0.2 s under QEMU's emulation; minutes where
the host's kernel emulates each instruction, as some nested KVM does), takes
a timer interrupt in 64-bit mode, says a word on QEMU's debug port 0xE9, and
ends QEMU with an exit status of its own choice.

Memory: the BIOS loads the sector at 0x7C00; page tables from 0x1000 map the
first 2 MiB onto themselves.
"""

WORD = b'p2pcs guest ran'
_EXIT_VALUE = 0x2A
# What the device isa-debug-exit makes of it; QEMU itself never ends so.
EXIT_STATUS = _EXIT_VALUE << 1 | 1

_REAL_MODE = (
    '31C0'  # 7C00          xor   ax, ax
    '8ED8'  # 7C02          mov   ds, ax
    '8EC0'  # 7C04          mov   es, ax
    '8ED0'  # 7C06          mov   ss, ax
    '66BC007C0000'  # 7C08  mov   esp, 0x7C00
    'FC'  # 7C0E            cld
    'FB'  # 7C0F            sti
    'A16C04'  # 7C10        mov   ax, [0x046C]   the BIOS's count of ticks
    'F4'  # 7C13 tick:      hlt                  until the next interrupt
    '3B066C04'  # 7C14      cmp   ax, [0x046C]
    '74F9'  # 7C18          je    tick
    'FA'  # 7C1A            cli
    '66BF00100000'  # 7C1B  mov   edi, 0x1000
    '0F22DF'  # 7C21        mov   cr3, edi
    '31C0'  # 7C24          xor   ax, ax
    'B90018'  # 7C26        mov   cx, 0x1800
    'F3AB'  # 7C29          rep   stosw          three empty tables
    'C70600100320'  # 7C2B  mov   word [0x1000], 0x2003
    'C70600200330'  # 7C31  mov   word [0x2000], 0x3003
    'C70600308300'  # 7C37  mov   word [0x3000], 0x0083  one 2 MiB page
    '0F20E0'  # 7C3D        mov   eax, cr4
    '0C20'  # 7C40          or    al, 0x20       physical address extension
    '0F22E0'  # 7C42        mov   cr4, eax
    '66B9800000C0'  # 7C45  mov   ecx, 0xC0000080  the register EFER
    '0F32'  # 7C4B          rdmsr
    '80CC01'  # 7C4D        or    ah, 1          long mode
    '0F30'  # 7C50          wrmsr
    '0F0116C67C'  # 7C52    lgdt  [gdtr]
    '0F011ECC7C'  # 7C57    lidt  [idtr]
    '0F20C0'  # 7C5C        mov   eax, cr0
    '660D01000080'  # 7C5F  or    eax, 0x80000001  protection and paging
    '0F22C0'  # 7C65        mov   cr0, eax
    'EA6D7C0800'  # 7C68    jmp   8:long
)

_LONG_MODE = (
    'B0FE'  # 7C6D long:    mov   al, 0xFE       no interrupt but the timer
    'E621'  # 7C6F          out   0x21, al
    'B0FF'  # 7C71          mov   al, 0xFF
    'E6A1'  # 7C73          out   0xA1, al
    '31DB'  # 7C75          xor   ebx, ebx
    'FB'  # 7C77            sti
    'B900000004'  # 7C78    mov   ecx, 1 << 26
    'FFC9'  # 7C7D work:    dec   ecx
    '75FC'  # 7C7F          jnz   work
    'F4'  # 7C81 wait:      hlt
    '85DB'  # 7C82          test  ebx, ebx       a tick since?
    '74FB'  # 7C84          jz    wait
    'FA'  # 7C86            cli
    'BED27C0000'  # 7C87    mov   esi, word
    f'B9{len(WORD):02X}000000'  # 7C8C  mov ecx, its length
    '66BAE900'  # 7C91      mov   dx, 0xE9       isa-debugcon
    'F36E'  # 7C95          rep   outsb
    f'B0{_EXIT_VALUE:02X}'  # 7C97  mov al, value
    'E6F4'  # 7C99          out   0xF4, al       isa-debug-exit
    'F4'  # 7C9B stop:      hlt
    'EBFD'  # 7C9C          jmp   stop
    'FFC3'  # 7C9E timer:   inc   ebx
    'B020'  # 7CA0          mov   al, 0x20       end of interrupt
    'E620'  # 7CA2          out   0x20, al
    '48CF'  # 7CA4          iretq
)

_TABLES = (
    '0000000000000000'  # 7CA6 gdt:  none
    '00000000009A2000'  # 7CAE       selector 8: 64-bit code
    '9E7C0800008E0000'  # 7CB6 gate: to 8:timer; the BIOS's IRQ 0 is vector 8
    '0000000000000000'  # 7CBE
    '0F00A67C0000'  # 7CC6 gdtr: 16 bytes from gdt
    '8F00367C0000'  # 7CCC idtr: 9 entries, the last of them is gate
)  # 7CD2 word:

BOOT_SECTOR = (bytes.fromhex(_REAL_MODE + _LONG_MODE + _TABLES) + WORD).ljust(
    510, b'\0'
) + b'\x55\xaa'
