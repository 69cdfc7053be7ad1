/** Limits of the HTTP gateway, each with its unit and its reason. */
import { KiB, MiB } from '../base/units.ts'

/** Longest request target, bytes: well below Node's 16 KiB for the whole header, and more than 255-byte names × 16 levels. */
export const MAX_TARGET_BYTES = 12 * KiB
/** Deepest path: bounds a walk's lookups. */
export const MAX_PATH_SEGMENTS = 256
/** Symbolic links followed in one walk (POSIX SYMLOOP_MAX is at least 8, Linux says 40). */
export const MAX_SYMLINKS = 40
/** Ranges answered in one GET; a request for more gets the whole file (RFC 9110 14.2 allows it, against abuse). */
export const MAX_RANGES = 32
/** Size of one piece read from and written to the filesystem, bytes: a multiple of the block and large enough to stream at disk speed. */
export const PIECE_BYTES = 1 * MiB
/** Largest file that is sent compressed, bytes. Of larger ones the length is worth more: downloads show how far they are, and go on where they stopped. */
export const MAX_PACKED_BYTES = 8 * MiB
/** Recycled piece buffers kept for later requests: 32 MiB in all. */
export const MAX_IDLE_PIECES = 32
/** Largest body of PROPFIND and PROPPATCH, bytes. */
export const MAX_XML_BYTES = 256 * KiB
/** Deepest nesting of elements in such a body; RFC 4918 needs 4. */
export const MAX_XML_DEPTH = 16
/** Elements and attributes in such a body. */
export const MAX_XML_NODES = 4096
/** Properties named in one request: bounds the size of every entry of the answer. */
export const MAX_PROPERTIES = 256
/** Longest dead property, as XML, and longest name of one with its namespace, bytes. */
export const MAX_PROPERTY_BYTES = 16_384
export const MAX_PROPERTY_NAME_BYTES = 1024
/** Longest owner of a lock, bytes of XML: what a client says of itself. */
export const MAX_OWNER_BYTES = 4 * KiB
/** For how long a lock is given when its client does not say, and at most: a client that has crashed stands in the way for so long, seconds. */
export const DEFAULT_LOCK_S = 600
export const MAX_LOCK_S = 3600
/** Directory entries fetched at a time. */
export const LISTING_BATCH = 512
/** Listings whose entries are kept as they were rendered, and entries of each: some 400 bytes each, twice (alone, and in the whole): 52 MB in all. */
export const MAX_RENDERED_LISTINGS = 16
export const MAX_RENDERED_ENTRIES = 4_096
/** Resources in the answer to PROPFIND with Depth: infinity; more is refused with propfind-finite-depth (RFC 4918 9.1). */
export const MAX_INFINITE_ENTRIES = 20_000
/** Deepest tree that PROPFIND, DELETE and COPY walk into. */
export const MAX_TREE_DEPTH = MAX_PATH_SEGMENTS
/** Entries of a directory that are sorted and shown: a browser is no help beyond; search is. */
export const MAX_PAGE_ENTRIES = 20_000
/** Of these, so many on one page: what a phone still shows without a pause. */
export const PAGE_ROWS = 2_000
/** Results of a search: whoever gets more looks for something narrower. */
export const MAX_SEARCH_RESULTS = 500
/** A search ends after so many entries, or so long (ms), whatever it has found: it costs the node, and nobody waits longer. */
export const MAX_SEARCH_ENTRIES = 1_000_000
export const MAX_SEARCH_MS = 10_000
/** Longest text searched for: that of a name. */
export const MAX_SEARCH_TEXT = 255
/** Walks through whole trees (searches, archives) at a time; more are told to come again. */
export const MAX_WALKS = 16
/** Largest central directory of a ZIP archive, bytes: half a million members. The only part of an archive that is kept in memory. */
export const MAX_ZIP_DIRECTORY_BYTES = 64 * MiB
/** Members named in an archive as missing from it; there may be more. */
export const MAX_ZIP_REMARKS = 1_000
/** Failures named in one 207 of DELETE or COPY; there may be more. */
export const MAX_REPORTED_FAILURES = 200
/** What is left of a refused request's body is read and dropped for so long before the connection is cut, ms. */
export const LINGER_MS = 10_000
/** A connection on which nothing moves for so long is cut, ms. */
export const IDLE_TIMEOUT_MS = 120_000
/** All of a request's header must arrive within, ms. */
export const HEADERS_TIMEOUT_MS = 30_000
/** An idle connection is kept for the next request, ms: longer than the usual proxies' own limit. */
export const KEEP_ALIVE_MS = 75_000
/** Connections at a time. */
export const MAX_CONNECTIONS = 10_000
/** Requests under way get so long to finish when the gateway closes, ms. */
export const CLOSE_PATIENCE_MS = 3_000
/** What a client is told to wait before it asks again after 503, seconds. */
export const RETRY_AFTER_S = 2
/** A temporary of an upload whose node died is removed by the next listing once it has not changed for this long, ms. */
export const STALE_TEMPORARY_MS = 24 * 3_600_000
