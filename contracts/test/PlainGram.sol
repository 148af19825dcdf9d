// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Tables of inner products, choices by distance, clipping and mixing as their definitions say them, number by
/// number and from whole rows.
library PlainGram {
    struct Node {
        bytes32 hash;
        int64 sum;
    }

    // ----------------------------------------------------------------------------------------------------- tables

    /// @notice The products of pair (i, j), chunk by chunk, at place [pair][chunk].
    function products(int256[][] memory rows, uint256 chunkLength) internal pure returns (int64[][] memory table) {
        table = new int64[][](rows.length * (rows.length + 1) / 2);
        uint256 pair = 0;
        for (uint256 i = 0; i < rows.length; ++i) {
            for (uint256 j = i; j < rows.length; ++j) {
                table[pair] = new int64[](rows[i].length / chunkLength);
                for (uint256 column = 0; column < rows[i].length; ++column) {
                    table[pair][column / chunkLength] += int64(rows[i][column] * rows[j][column]);
                }
                ++pair;
            }
        }
    }

    /// @notice All nodes over such a table, padding included, from the leaves up to the top.
    function levelsOf(int64[][] memory table) internal pure returns (Node[][] memory levels) {
        uint256 depth = heightOver(table[0].length);
        uint256 height = depth + heightOver(table.length);
        levels = new Node[][](height + 1);
        levels[0] = new Node[](2 ** height);
        for (uint256 pair = 0; pair < table.length; ++pair) {
            for (uint256 chunk = 0; chunk < table[pair].length; ++chunk) {
                levels[0][pair * 2 ** depth + chunk].sum = table[pair][chunk];
            }
        }
        fold(levels);
    }

    /// @notice Makes every level above the leaves anew.
    function fold(Node[][] memory levels) internal pure {
        for (uint256 height = 1; height < levels.length; ++height) {
            levels[height] = new Node[](levels[height - 1].length / 2);
            foldLevel(levels, height);
        }
    }

    function foldLevel(Node[][] memory levels, uint256 height) internal pure {
        for (uint256 index = 0; index < levels[height].length; ++index) {
            levels[height][index] = parent(levels[height - 1][2 * index], levels[height - 1][2 * index + 1]);
        }
    }

    function parent(Node memory left, Node memory right) internal pure returns (Node memory) {
        bytes memory all = abi.encodePacked(left.hash, right.hash, "volquorum.gram.1", left.sum, right.sum);
        int64 sum;
        unchecked {
            sum = left.sum + right.sum;
        }
        return Node(keccak256(all), sum);
    }

    function rootOf(Node[][] memory levels, uint256 rows) internal pure returns (bytes32) {
        Node memory top = levels[levels.length - 1][0];
        return keccak256(abi.encodePacked("volquorum.root.2", uint64(rows), top.sum, top.hash));
    }

    /// @notice Each node's recorded sum and its sibling, from a leaf upward, then the total.
    function pathOf(Node[][] memory levels, uint256 leaf) internal pure returns (bytes memory path) {
        uint256 height = 0;
        for (; height + 1 < levels.length; ++height) {
            path = abi.encodePacked(path, levels[height][leaf].sum, packed(levels[height][leaf ^ 1]));
            leaf /= 2;
        }
        path = abi.encodePacked(path, levels[height][0].sum);
    }

    function part(Node[][] memory levels, uint256 number)
        internal
        pure
        returns (bytes memory leaves, bytes memory siblings)
    {
        uint256 height = levels.length - 1 < 12 ? levels.length - 1 : 12;
        for (uint256 leaf = 0; leaf < 2 ** height; ++leaf) {
            leaves = abi.encodePacked(leaves, levels[0][number * 2 ** height + leaf].sum);
        }
        for (; height + 1 < levels.length; ++height) {
            siblings = abi.encodePacked(siblings, packed(levels[height][number ^ 1]));
            number /= 2;
        }
    }

    /// @notice The nodes above the pairs.
    function pairNodes(Node[][] memory levels, int64[][] memory table) internal pure returns (bytes memory nodes) {
        uint256 depth = heightOver(table[0].length);
        for (uint256 pair = 0; pair < table.length; ++pair) {
            nodes = abi.encodePacked(nodes, packed(levels[depth][pair]));
        }
    }

    function packed(Node memory node) internal pure returns (bytes memory) {
        return abi.encodePacked(node.hash, node.sum);
    }

    function heightOver(uint256 count) internal pure returns (uint256 height) {
        while (2 ** height < count) ++height;
    }

    // ---------------------------------------------------------------------------------------------------- choices

    /// @notice Masks as calls carry them.
    function neighbours(int256[][] memory rows, uint256 tolerance) internal pure returns (bytes memory) {
        return neighboursBy(distances(rows), tolerance);
    }

    function best(int256[][] memory rows, uint256 tolerance, uint256 members) internal pure returns (bytes memory) {
        return bestBy(distances(rows), tolerance, members);
    }

    /// @notice The same by squared distances, at place [row][other].
    function neighboursBy(int256[][] memory apart, uint256 tolerance) internal pure returns (bytes memory masks) {
        for (uint256 row = 0; row < apart.length; ++row) {
            masks = abi.encodePacked(masks, maskOfLeast(apart[row], apart.length - tolerance));
        }
    }

    function bestBy(int256[][] memory apart, uint256 tolerance, uint256 members) internal pure returns (bytes memory) {
        int256[] memory scores = new int256[](apart.length);
        for (uint256 row = 0; row < apart.length; ++row) {
            apart[row][row] = type(int256).max;
            sort(apart[row]);
            for (uint256 rank = 0; rank < apart.length - tolerance - 2; ++rank) {
                scores[row] += apart[row][rank];
            }
        }
        return abi.encodePacked(maskOfLeast(scores, members));
    }

    /// @notice The distances that a table says, whether it is right or not.
    function distancesBy(int64[][] memory table, uint256 rows) internal pure returns (int256[][] memory apart) {
        int256[][] memory inner = new int256[][](rows);
        apart = new int256[][](rows);
        for (uint256 row = 0; row < rows; ++row) {
            (inner[row], apart[row]) = (new int256[](rows), new int256[](rows));
        }
        for ((uint256 i, uint256 pair) = (0, 0); i < rows; ++i) {
            for (uint256 j = i; j < rows; ++j) {
                for (uint256 chunk = 0; chunk < table[pair].length; ++chunk) {
                    inner[i][j] += table[pair][chunk];
                }
                inner[j][i] = inner[i][j];
                ++pair;
            }
        }
        for (uint256 i = 0; i < rows; ++i) {
            for (uint256 j = 0; j < rows; ++j) {
                apart[i][j] = inner[i][i] + inner[j][j] - 2 * inner[i][j];
            }
        }
    }

    function distances(int256[][] memory rows) private pure returns (int256[][] memory apart) {
        apart = new int256[][](rows.length);
        for (uint256 row = 0; row < rows.length; ++row) {
            apart[row] = new int256[](rows.length);
            for (uint256 other = 0; other < rows.length; ++other) {
                for (uint256 column = 0; column < rows[row].length; ++column) {
                    apart[row][other] += (rows[row][column] - rows[other][column]) ** 2;
                }
            }
        }
    }

    /// @dev Of equals the earlier: one that has fewer lesser ones and earlier equals than `count` is in.
    function maskOfLeast(int256[] memory values, uint256 count) private pure returns (uint64 mask) {
        for (uint256 i = 0; i < values.length; ++i) {
            uint256 before = 0;
            for (uint256 j = 0; j < values.length; ++j) {
                if (values[j] < values[i] || (values[j] == values[i] && j < i)) ++before;
            }
            if (before < count) mask |= uint64(1 << i);
        }
    }

    // ------------------------------------------------------------------------------------- clipping and mixing

    function clipped(int256[][] memory rows, uint256 tolerance) internal pure returns (int256[][] memory changed) {
        int256[] memory squares = new int256[](rows.length);
        for (uint256 row = 0; row < rows.length; ++row) {
            for (uint256 column = 0; column < rows[row].length; ++column) {
                squares[row] += rows[row][column] ** 2;
            }
        }
        int256[] memory sorted = abi.decode(abi.encode(squares), (int256[]));
        sort(sorted);
        uint256 longest = 2 * tolerance * (rows.length - tolerance) / rows.length;
        int256 limit = sorted[rows.length - longest - 1];
        changed = new int256[][](rows.length);
        for (uint256 row = 0; row < rows.length; ++row) {
            int256 factor = squares[row] > limit ? rootRatio(limit, squares[row]) : int256(2 ** 30);
            changed[row] = new int256[](rows[row].length);
            for (uint256 column = 0; column < rows[row].length; ++column) {
                changed[row][column] = floorDivision(rows[row][column] * factor, 2 ** 30);
            }
        }
    }

    function mixed(int256[][] memory rows, bytes memory masks) internal pure returns (int256[][] memory mixes) {
        mixes = new int256[][](masks.length / 8);
        for (uint256 row = 0; row < mixes.length; ++row) {
            mixes[row] = new int256[](rows[0].length);
            int256 members = 0;
            for (uint256 other = 0; other < rows.length; ++other) {
                if (uint8(masks[8 * row + 7 - other / 8]) >> (other % 8) & 1 == 0) continue;
                ++members;
                for (uint256 column = 0; column < rows[0].length; ++column) {
                    mixes[row][column] += rows[other][column];
                }
            }
            for (uint256 column = 0; column < rows[0].length; ++column) {
                mixes[row][column] = floorDivision(mixes[row][column], members);
            }
        }
    }

    /// @dev floor(2^30 sqrt(a / b)) of 0 <= a < b, by halving.
    function rootRatio(int256 a, int256 b) private pure returns (int256 low) {
        int256 high = 2 ** 30;
        while (low < high) {
            int256 middle = (low + high + 1) / 2;
            if (middle * middle * b <= a * 2 ** 60) low = middle;
            else high = middle - 1;
        }
    }

    function sort(int256[] memory values) private pure {
        for (uint256 end = 1; end < values.length; ++end) {
            for (uint256 place = end; place > 0 && values[place - 1] > values[place]; --place) {
                (values[place - 1], values[place]) = (values[place], values[place - 1]);
            }
        }
    }

    function floorDivision(int256 numerator, int256 denominator) private pure returns (int256 quotient) {
        quotient = numerator / denominator;
        if (numerator % denominator != 0 && numerator < 0) --quotient;
    }
}
