/** The width that an element has been given, in CSS pixels; follows it. */
import { useLayoutEffect, useRef, useState } from 'preact/hooks'

/** @param {number} first until it is known */
export function useWidth(first) {
  const ref = useRef(/** @type {HTMLElement | null} */ (null))
  const [width, setWidth] = useState(first)
  useLayoutEffect(() => {
    const element = ref.current
    if (!element) return
    const measure = () => setWidth(Math.floor(element.clientWidth))
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    measure()
    return () => observer.disconnect()
  }, [])
  return /** @type {const} */ ([ref, width])
}
