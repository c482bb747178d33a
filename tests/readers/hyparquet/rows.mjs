// Prints the rows of a Parquet file as a JSON array: bigints as numbers, dates as ISO 8601. `plain` takes only what hyparquet
// can decompress by itself.
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'

const [path, plain] = process.argv.slice(2)
const compressors = plain ? undefined : (await import('hyparquet-compressors')).compressors
const rows = await parquetReadObjects({ file: await asyncBufferFromFile(path), compressors })
const shown = (_, value) => (typeof value === 'bigint' ? Number(value) : value)
console.log(JSON.stringify(rows, shown))
