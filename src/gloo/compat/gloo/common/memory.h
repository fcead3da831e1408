/*
 * src/gloo/compat/gloo/common/memory.h
 *
 * Debian's libgloo-dev 0.0~git20220518 installs headers that include gloo/common/memory.h, but not
 * that one. This declares its three templates by their sizes, which is all that the layout of
 * gloo::transport::tcp::Pair needs: their functions are inside the library, and gpt_gloo.cpp calls
 * none. The compiler finds this file after the system's (-idirafter), so that a complete package
 * wins; gpt_gloo.cpp compares the size of a Pair with the library's before it trusts the layout.
 */
#pragma once

#include <memory>

namespace gloo
{

/* A pointer that keeps the object alive while it is used. */
template <typename T> class NonOwningPtr final
{
	std::shared_ptr<T> held;
};

/* One that does not. */
template <typename T> class WeakNonOwningPtr final
{
	std::weak_ptr<T> seen;
};

/* The object's own. */
template <typename T> class ShareableNonOwningPtr final
{
	std::shared_ptr<T> own;
};

} // namespace gloo
